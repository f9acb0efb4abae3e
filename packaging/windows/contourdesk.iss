; Inno Setup 6 script: an installer for Windows from the desktop build. Run on Windows, after make package:
;   iscc /DVersion=0.1.0 packaging\windows\contourdesk.iss
; Writes dist\contourdesk-VERSION-setup.exe. It asks for no administrator unless the user chooses "for all users".

#ifndef Version
  #error "Give the version: iscc /DVersion=0.1.0 contourdesk.iss"
#endif

[Setup]
AppId={{6F0C5E0B-6C0B-4B0E-9B36-7C6B6D0F5C1A}
AppName=Contourdesk
AppVersion={#Version}
AppVerName=Contourdesk {#Version}
AppPublisher=The Contourdesk contributors
DefaultDirName={autopf}\Contourdesk
DefaultGroupName=Contourdesk
DisableProgramGroupPage=yes
LicenseFile=..\..\LICENSE
InfoBeforeFile=not-a-medical-device.txt
PrivilegesRequired=lowest
PrivilegesRequiredOverridesAllowed=dialog
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
MinVersion=10.0
OutputDir=..\..\dist
OutputBaseFilename=contourdesk-{#Version}-setup
SetupIconFile=..\..\build\contourdesk\icons\contourdesk.ico
UninstallDisplayIcon={app}\contourdesk-gui.exe
UninstallDisplayName=Contourdesk {#Version}
VersionInfoVersion={#Version}
Compression=lzma2/max
SolidCompression=yes
WizardStyle=modern
CloseApplications=yes
ChangesEnvironment=yes

[Tasks]
Name: desktopicon; Description: "{cm:CreateDesktopIcon}"; Flags: unchecked
Name: path; Description: "Make the command ""contourdesk"" known to the command prompt"; Flags: unchecked

[InstallDelete]
; An update must not leave modules of the version before it beside its own.
Type: filesandordirs; Name: "{app}\_internal"

[Files]
Source: "..\..\dist\contourdesk\*"; DestDir: "{app}"; Flags: recursesubdirs createallsubdirs ignoreversion

[Icons]
Name: "{group}\Contourdesk"; Filename: "{app}\contourdesk-gui.exe"
Name: "{group}\Contourdesk self-test"; Filename: "{cmd}"; Parameters: "/k ""{app}\contourdesk.exe"" doctor"
Name: "{autodesktop}\Contourdesk"; Filename: "{app}\contourdesk-gui.exe"; Tasks: desktopicon

[Registry]
Root: HKA; Subkey: "{code:EnvironmentKey}"; ValueType: expandsz; ValueName: "Path"; \
  ValueData: "{olddata};{app}"; Check: not IsOnPath; Tasks: path

[Run]
Filename: "{app}\contourdesk-gui.exe"; Description: "{cm:LaunchProgram,Contourdesk}"; Flags: postinstall nowait skipifsilent

[Code]
function EnvironmentKey(Unused: String): String;
begin
  if IsAdminInstallMode then
    Result := 'SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
  else
    Result := 'Environment';
end;

function CurrentPath(var Value: String): Boolean;
begin
  if IsAdminInstallMode then
    Result := RegQueryStringValue(HKEY_LOCAL_MACHINE, EnvironmentKey(''), 'Path', Value)
  else
    Result := RegQueryStringValue(HKEY_CURRENT_USER, EnvironmentKey(''), 'Path', Value);
end;

function IsOnPath: Boolean;
var
  Value: String;
begin
  Result := CurrentPath(Value) and (Pos(';' + Lowercase(ExpandConstant('{app}')) + ';', ';' + Lowercase(Value) + ';') > 0);
end;

procedure CurUninstallStepChanged(Step: TUninstallStep);
var
  Value, Part: String;
begin
  { Take our folder off the path again; settings and reviews of the user stay. }
  Part := ';' + ExpandConstant('{app}');
  if (Step = usPostUninstall) and CurrentPath(Value) and (Pos(Lowercase(Part), Lowercase(Value)) > 0) then
  begin
    Delete(Value, Pos(Lowercase(Part), Lowercase(Value)), Length(Part));
    if IsAdminInstallMode then
      RegWriteExpandStringValue(HKEY_LOCAL_MACHINE, EnvironmentKey(''), 'Path', Value)
    else
      RegWriteExpandStringValue(HKEY_CURRENT_USER, EnvironmentKey(''), 'Path', Value);
  end;
end;
