"""The codecs that DICOM needs, of some sixty; ``contourdesk.app.dicom_syntaxes`` calls no others."""

hiddenimports = [f"imagecodecs._{name}" for name in ("imcd", "jpeg2k", "jpeg8", "jpegls", "shared", "shared_cython")]
hiddenimports.append("imagecodecs._imagecodecs")
