//! The unit by which systemd starts the agent and starts it again.

use std::path::Path;

use pw_model::name::ProjectName;

/// Where it is installed, and as what.
pub struct Unit<'a> {
    pub project: &'a ProjectName,
    /// The program itself, absolute.
    pub program: &'a Path,
    /// The project's folder.
    pub folder: &'a Path,
    /// The root of the state folder.
    pub state: &'a Path,
}

impl Unit<'_> {
    pub fn name(&self) -> String {
        format!("partywall-{}.service", self.project)
    }

    pub fn chores_name(&self) -> String {
        format!("partywall-{}-chores.service", self.project)
    }

    pub fn front_name(&self) -> String {
        format!("partywall-{}-front.service", self.project)
    }

    /// Puts to sleep and wakes, by commands of the program.
    pub fn front(&self) -> String {
        format!(
            "[Unit]
Description=Puts environments of {project} to sleep, and wakes them
After=docker.service
StartLimitIntervalSec=0

[Service]
Type=exec
{start}
Restart=always
RestartSec=5s
UMask=0077

[Install]
WantedBy=multi-user.target
",
            start = self.start("front"),
            project = self.project,
        )
    }

    /// How a command of the agent's is started.
    fn start(&self, command: &str) -> String {
        // Only in a command is a dollar more than itself.
        let [program, folder] = [self.program, self.folder].map(|path| quoted(path).replace('$', "$$"));
        let environment = quoted(Path::new(&format!("PARTYWALL_STATE={}", self.state.display())));
        format!("ExecStart={program} agent {command} --project {folder}\nEnvironment={environment}")
    }

    pub fn timer_name(&self) -> String {
        format!("partywall-{}-chores.timer", self.project)
    }

    /// What is due, behind everybody else. It writes where backups go, and asks databases.
    pub fn chores(&self) -> String {
        format!(
            "[Unit]
Description=Backups, drills and old releases of {project}, when they are due
After=docker.service

[Service]
Type=oneshot
{start}
Nice=19
CPUWeight=idle
IOSchedulingClass=idle
UMask=0077
",
            start = self.start("chores"),
            project = self.project,
        )
    }

    /// Looks every minute; one that still runs is not started again.
    pub fn timer(&self) -> String {
        format!(
            "[Unit]
Description=Looks what is due for {project}

[Timer]
OnBootSec=20s
OnUnitInactiveSec=1min
AccuracySec=5s

[Install]
WantedBy=timers.target
",
            project = self.project,
        )
    }

    /// It goes before everybody else when there is little of anything, may write its state and control groups, and
    /// speaks to nobody but the engine.
    pub fn text(&self) -> String {
        let state = quoted(self.state);
        format!(
            "[Unit]
Description=Partywall agent of {project}: protects production from development
After=docker.service
StartLimitIntervalSec=0

[Service]
Type=exec
{start}
Restart=always
RestartSec=1s
# What protects must not wait for what it holds down.
Nice=-10
CPUWeight=1000
IOWeight=1000
OOMScoreAdjust=-900
MemoryMax=128M
TasksMax=64
# It reads files and writes its state and control groups.
ProtectSystem=strict
ReadWritePaths={state} /sys/fs/cgroup
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=no
ProtectControlGroups=no
ProtectClock=yes
ProtectHostname=yes
NoNewPrivileges=yes
# It ends what development runs when memory ends; kernels before 5.14 have no file for that.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_KILL
# Figures are shown at an address, and databases asked at theirs.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
",
            start = self.start("run"),
            project = self.project,
        )
    }
}

/// As systemd reads a word: in quotes, its own signs doubled.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_reads_as_it_should() {
        let project = ProjectName::parse("shop").expect("a name");
        let unit = Unit {
            project: &project,
            program: Path::new("/usr/local/bin/partywall"),
            folder: Path::new("/srv/my shop"),
            state: Path::new("/var/lib/partywall"),
        };
        assert_eq!(unit.name(), "partywall-shop.service");
        let line = "ExecStart=\"/usr/local/bin/partywall\" agent chores --project \"/srv/my shop\"";
        assert!(unit.chores().lines().any(|one| one == line), "{}", unit.chores());
        let line = "ExecStart=\"/usr/local/bin/partywall\" agent front --project \"/srv/my shop\"";
        assert!(unit.front().lines().any(|one| one == line), "{}", unit.front());
        assert_eq!(unit.timer_name().replace(".timer", ".service"), unit.chores_name());
        let text = unit.text();
        for line in [
            "ExecStart=\"/usr/local/bin/partywall\" agent run --project \"/srv/my shop\"",
            "Environment=\"PARTYWALL_STATE=/var/lib/partywall\"",
            "ReadWritePaths=\"/var/lib/partywall\" /sys/fs/cgroup",
            "Restart=always",
        ] {
            assert!(text.lines().any(|one| one == line), "`{line}` is missing in\n{text}");
        }
    }

    /// Only where systemd's own checker is installed.
    #[test]
    fn systemd_understands_the_unit() {
        let folder = tempfile::tempdir().expect("a folder");
        let project = ProjectName::parse("shop").expect("a name");
        let unit = Unit {
            project: &project,
            program: Path::new("/bin/true"),
            folder: folder.path(),
            state: Path::new("/var/lib"),
        };
        let file = folder.path().join(unit.name());
        std::fs::write(&file, unit.text()).expect("a file");
        let verified = std::process::Command::new("systemd-analyze").arg("verify").arg(&file).output();
        if let Ok(verified) = verified {
            let said = String::from_utf8_lossy(&verified.stderr);
            let about_it: Vec<&str> = said.lines().filter(|line| line.contains("partywall-shop")).collect();
            assert!(about_it.is_empty(), "{about_it:?}");
        }
    }
}
