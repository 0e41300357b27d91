//! Promise: the doctor says what is wrong with a host and what to do about it, and leaves
//! everything as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{executable, kernel_uuid};
use end_to_end::peers::doctor::{doctor, examine, plain};
use end_to_end::peers::launch::Launch;
use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::traffic::{self, Plan};
use end_to_end::world::kernel::{Inventory, qdiscs};
use end_to_end::world::mount::{SmallDisk, with_mounts, without_cgroup2};
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::process::Process;
use tempfile::TempDir;

/// The flags of most tests, besides the data directory.
const FLAGS: [&str; 4] = ["--flow-source", "kernel", "--interface", WAN];

/// The same without CAP_SYS_ADMIN.
fn without_admin(command: &Command) -> Command {
    let mut less = Command::new("setpriv");
    less.args(["--bounding-set=-sys_admin", "--"]);
    less.arg(command.get_program()).args(command.get_args());
    less
}

#[test]
fn where_all_is_well_it_says_so_and_the_daemon_captures() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    let (kernel, tc) = (Inventory::take()?, qdiscs(&lab.host)?);
    let datadir = disk.path().join("captures");
    let command = doctor(&executable()?, &datadir, &FLAGS);
    let report = examine(&lab, &command, &plain)?;
    ensure!(report.problems().is_empty(), "{report:#?}");
    report.says("programs and maps", "ok", &["the kernel accepts them"])?;
    report.says("capabilities", "ok", &["CAP_BPF", "CAP_NET_ADMIN"])?;
    report.says("cgroup2", "ok", &["root"])?;
    report.says(WAN, "ok", &["Ethernet, up"])?;
    report.says("datadir", "ok", &["captures", "can be written"])?;
    report.says("filesystem", "note", &["tmpfs"])?;
    report.says("left out", "ok", &["lo"])?;

    let left: Vec<_> = fs::read_dir(disk.path())?.collect();
    ensure!(left.is_empty(), "it left {left:?}");
    Inventory::take()?.since(&kernel).wait_until_gone()?;
    assert_eq!(qdiscs(&lab.host)?, tc);

    let launch = Launch::new(&lab).within(disk.path());
    let mut daemon = launch.start(&[])?;
    let connections = traffic::run(&lab, &[Plan::SHORT], &())?;
    daemon.wait_for_files(1)?;
    let published = daemon.captures().published()?;
    assert!(published.contains_key(&kernel_uuid(&connections[0])));
    daemon.stop()?;
    Ok(())
}

#[test]
fn without_privileges_it_names_those_that_are_missing() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    // The program and a directory, where the user `nobody` can reach them.
    let program = disk.path().join("packet-headers");
    fs::copy(executable()?, &program).context("copying the daemon")?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let command = doctor(&program, &disk.path().join("captures"), &FLAGS);
    let as_nobody = |command: &Command| {
        let mut outer = Command::new("setpriv");
        outer.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        outer.args(["--inh-caps=-all", "--bounding-set=-all", "--"]);
        outer.arg(command.get_program()).args(command.get_args());
        outer
    };
    let report = examine(&lab, &command, &as_nobody)?;
    let missing = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "run as root"];
    report.says("capabilities", "problem", &missing)?;
    report.says("programs and maps", "note", &["not tried"])?;
    report.says("datadir", "problem", &["Permission denied", "--datadir"])?;
    report.says(WAN, "ok", &["Ethernet, up"])
}

#[test]
fn a_read_only_data_directory_is_named() -> Result<()> {
    let lab = Lab::new()?;
    let home = TempDir::new()?;
    let mount = home.path().join("mount");
    fs::create_dir(&mount)?;
    let command = doctor(&executable()?, &mount.join("captures"), &FLAGS);
    let script = format!("mount -t tmpfs -o ro none '{}'", mount.display());
    let report = examine(&lab, &command, &|command| with_mounts(&script, command))?;
    let named = mount.to_string_lossy();
    let words = [&*named, "Read-only", "remount", "--datadir"];
    report.says("datadir", "problem", &words)?;
    report.says("partial-dir", "problem", &[&named])
}

#[test]
fn without_cgroup2_it_says_how_to_mount_it() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    let script = without_cgroup2()?;
    let bare = |command: &Command| with_mounts(&script, command);
    let command = doctor(&executable()?, &disk.path().join("captures"), &FLAGS);
    let report = examine(&lab, &command, &bare)?;
    assert!(report.problems().is_empty(), "{:?}", report.problems());
    report.says("cgroup2", "ok", &["the daemon mounts one for itself"])?;
    // That takes CAP_SYS_ADMIN.
    let report = examine(&lab, &without_admin(&command), &bare)?;
    assert_eq!(report.problems(), ["cgroup2"]);
    report.says(
        "cgroup2",
        "problem",
        &["mount -t cgroup2", "tcpinfo", "nsenter"],
    )
}

#[test]
fn a_part_of_cgroup2_is_not_the_whole() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    // A container sees only its own part of the hierarchy, mounted in place of the whole.
    let script = format!(
        "{}mkdir '{1}/root' '{1}/part'\nmount -t cgroup2 none '{1}/root'\n\
         mkdir -p '{1}/root/packet-headers-doctor'\n\
         mount --bind '{1}/root/packet-headers-doctor' '{1}/part'\n\
         umount -l '{1}/root'\nrmdir '{1}/root'\n",
        without_cgroup2()?,
        disk.path().display()
    );
    let command = doctor(&executable()?, &disk.path().join("captures"), &FLAGS);
    let part = |command: &Command| with_mounts(&script, command);
    let clean = format!("rmdir '{}/part' 2>/dev/null || :", disk.path().display());
    let examine = |command: &Command| {
        examine(&lab, command, &|command| {
            let mut outer = Command::new("sh");
            outer
                .arg("-c")
                .arg(format!("{clean}\nexec \"$@\""))
                .arg("sh");
            let inner = part(command);
            outer.arg(inner.get_program()).args(inner.get_args());
            outer
        })
    };
    let report = examine(&command)?;
    report.says("cgroup2", "ok", &["the daemon mounts one for itself"])?;
    let report = examine(&without_admin(&command))?;
    assert_eq!(report.problems(), ["cgroup2"]);
    report.says(
        "cgroup2",
        "problem",
        &["part of the cgroup2 hierarchy", "the host's"],
    )
}

#[test]
fn another_program_where_ours_would_be_is_named() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    for line in [
        format!("qdisc add dev {WAN} clsact"),
        format!("filter add dev {WAN} ingress prio 1 protocol all u32 match u32 0 0"),
    ] {
        lab.host.tc(&line.split(' ').collect::<Vec<_>>())?;
    }
    let datadir = disk.path().join("captures");
    let by = |attach| {
        let flags = [&FLAGS[..], &["--attach", attach]].concat();
        examine(&lab, &doctor(&executable()?, &datadir, &flags), &plain)
    };
    let report = by("netlink")?;
    assert_eq!(report.problems(), [WAN]);
    let words = ["u32", "priority 1", "ingress", "--attach tcx"];
    report.says(WAN, "problem", &words)?;
    let report = by("tcx")?;
    ensure!(report.problems().is_empty(), "{report:#?}");
    report.says(WAN, "note", &["u32", "ours runs first"])?;
    ensure!(by("socket")?.problems().is_empty());
    Ok(())
}

#[test]
fn a_daemon_on_the_same_directories_is_named() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    let launch = Launch::new(&lab).within(disk.path());
    let daemon = launch.start(&["--attach=tcx"])?;
    let flags = [&FLAGS[..], &["--prometheusx.listen-address="]].concat();
    let command = doctor(&executable()?, daemon.captures().root(), &flags);
    let report = examine(&lab, &command, &plain)?;
    assert_eq!(report.problems(), ["datadir", "partial-dir"]);
    let pid = format!("pid {}", daemon.id());
    report.says("datadir", "problem", &[&pid, "stop it"])?;
    report.says(WAN, "note", &["another packet-headers is attached"])?;
    // The daemon is not affected.
    daemon.stop()?;
    Ok(())
}

#[test]
fn an_event_socket_that_nobody_serves_is_named() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    let socket = disk.path().join("tcpevents.sock");
    let mut tcpinfo = StandIn::unix(&socket);
    let flag = tcpinfo.flag();
    let flags = [flag.as_str(), "--interface", WAN];
    let command = doctor(&executable()?, &disk.path().join("captures"), &flags);
    let report = examine(&lab, &command, &plain)?;
    assert_eq!(report.problems(), ["tcpinfo.eventsocket"]);
    let words = [&*socket.to_string_lossy(), "No such file", "start tcp-info"];
    report.says("tcpinfo.eventsocket", "problem", &words)?;
    tcpinfo.listen()?;
    let report = examine(&lab, &command, &plain)?;
    ensure!(report.problems().is_empty(), "{report:#?}");
    report.says("tcpinfo.eventsocket", "ok", &["answers", "mode 0"])
}

#[test]
fn a_disk_that_is_nearly_full_is_named_with_its_figures() -> Result<()> {
    let lab = Lab::new()?;
    let disk = SmallDisk::mount(256)?;
    disk.fill()?;
    let command = doctor(&executable()?, &disk.path().join("captures"), &FLAGS);
    let report = examine(&lab, &command, &plain)?;
    assert_eq!(report.problems(), ["free space"]);
    report.says(
        "free space",
        "problem",
        &["of 256.0 MiB free", "--max-disk"],
    )
}

#[test]
fn flags_that_contradict_each_other_are_a_usage_error() -> Result<()> {
    let lab = Lab::new()?;
    let flags = ["--uuidwaitduration=31s", "--captureduration=30s"];
    let command = doctor(&executable()?, Path::new("/nowhere"), &flags);
    let mut process = Process::start(&lab.host, &mut plain(&command))?;
    let status = process.wait()?;
    ensure!(status.code() == Some(2), "{}", process.transcript());
    ensure!(process.transcript().contains("uuidwaitduration"));
    Ok(())
}
