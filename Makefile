# make run    set up, and open the sample case (with no display: do the main job on it under Xvfb, results in work/demo)
# make test   set up, and run the tests in two processes; make test ARGS="-k geometry -n 0" runs some of them in one
# make lint   ruff and mypy
# make package   the desktop program, with a Python of its own, in dist/contourdesk (docs/desktop.md)
# make deb   that as a package for Debian and Ubuntu
# make docs   the documentation as a website, in build/docs; a link that leads nowhere is an error
# make screenshots   take the pictures in docs/images anew, from the real window
# PYTHON=/path/to/python3.12 chooses the Python of a new .venv.

XVFB := xvfb-run -a -s "-screen 0 1920x1080x24"
HAS_DISPLAY := $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname))
export PYTHON

.PHONY: run test lint setup docs screenshots package deb
.DEFAULT_GOAL := run

run:
	@packaging/setup.sh run
ifneq ($(HAS_DISPLAY),)
	@.venv/bin/contourdesk --sample
else
	@echo "No display: the sample case is segmented, accepted and exported under Xvfb."
	@$(XVFB) .venv/bin/python packaging/demo.py work/demo
endif

test:
	@packaging/setup.sh test
	@$(if $(HAS_DISPLAY),,$(XVFB)) .venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

lint:
	@packaging/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

setup:
	@packaging/setup.sh test

docs:
	@packaging/setup.sh docs
	.venv/bin/python -m sphinx -q -W --keep-going -d build/docs-cache -c packaging/docs . build/docs

screenshots:
	@packaging/setup.sh test
	@$(XVFB) .venv/bin/python packaging/demo.py work/screenshots --more
	@$(XVFB) .venv/bin/python packaging/plugin_picture.py work/screenshots
	@mkdir -p docs/images
	@cp work/screenshots/*.png docs/images/

package:
	@packaging/setup.sh package
	nice .venv/bin/python packaging/build.py

deb:
	@test -x dist/contourdesk/contourdesk || $(MAKE) package
	nice .venv/bin/python packaging/linux/make_deb.py
