#!/usr/bin/env bash
# Make dist/Contourdesk-VERSION.dmg from dist/Contourdesk.app. Run on a Mac, after make package.
#   packaging/macos/make_dmg.sh
# SIGN="Developer ID Application: …" signs the program for people who did not build it themselves; Apple must then
# notarise the image too (xcrun notarytool submit … && xcrun stapler staple …). Without SIGN it is signed for this Mac
# alone: elsewhere, macOS asks for a right click and "Open" the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."

app=dist/Contourdesk.app
if [[ ! -d $app ]]; then
    echo "There is no $app. Run make package first, on a Mac." >&2
    exit 2
fi
version=$("$app/Contents/MacOS/contourdesk" --version | awk '{ print $2 }')
image=dist/Contourdesk-$version.dmg

if [[ -n ${SIGN:-} ]]; then
    codesign --force --deep --options runtime --timestamp \
        --entitlements packaging/macos/entitlements.plist --sign "$SIGN" "$app"
else
    codesign --force --deep --sign - "$app"
fi
codesign --verify --deep --strict "$app"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R "$app" "$folder/"
ln -s /Applications "$folder/Applications"
cp LICENSE "$folder/"
rm -f "$image"
hdiutil create -volname "Contourdesk $version" -srcfolder "$folder" -format UDZO -fs HFS+ "$image"
echo "$image"
