//! Promise: a daemon that cannot work ends with one clear line that names what is wrong; it never
//! panics.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::executable;
use end_to_end::peers::refusal::{one_line, refused};
use end_to_end::world::mount::{with_mounts, without_cgroup2};
use end_to_end::world::netns::{Lab, WAN};
use tempfile::TempDir;

/// The daemon's command line, with a data directory and further arguments.
fn daemon(datadir: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(executable()?);
    command.arg("--datadir").arg(datadir).args(arguments);
    Ok(command)
}

#[test]
fn an_unknown_interface_is_named_with_those_that_there_are() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    let mut command = daemon(&datadir, &["--interface", WAN, "--interface", "nowhere0"])?;
    // Not a usage error: the same command line may be right on another machine.
    let lines = refused(&lab, &mut command, 1)?;
    one_line(&lines, &["nowhere0", WAN, "lo"])
}

#[test]
fn usage_errors_exit_with_2_and_name_the_flag() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    let longer = ["--uuidwaitduration", "31s", "--captureduration", "30s"];
    let cases: [(&[&str], &str); 4] = [
        (&longer, "uuidwaitduration"),
        (&["--linger", "soon"], "linger"),
        (&["--flow-source", "crystal-ball"], "flow-source"),
        (&["--no-such-flag"], "no-such-flag"),
    ];
    for (arguments, named) in cases {
        let lines = refused(&lab, &mut daemon(&datadir, arguments)?, 2)?;
        let text = lines.join("\n");
        ensure!(text.contains(named), "no {named} in {text}");
    }
    Ok(())
}

#[test]
fn a_data_directory_that_is_a_file_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    fs::write(&datadir, "already here")?;
    let lines = refused(&lab, &mut daemon(&datadir, &[])?, 1)?;
    one_line(&lines, &[&datadir.to_string_lossy()])?;
    assert_eq!(fs::read_to_string(&datadir)?, "already here");
    Ok(())
}

#[test]
fn the_parents_of_a_data_directory_are_not_made() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let parent = home.path().join("mistyped/name");
    let lines = refused(&lab, &mut daemon(&parent.join("captures"), &[])?, 1)?;
    one_line(
        &lines,
        &[&format!("mkdir -p {}", parent.display()), "--datadir"],
    )?;
    assert_eq!(fs::read_dir(home.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_data_directory_on_a_read_only_filesystem_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let mount = home.path().join("mount");
    fs::create_dir(&mount)?;
    let command = daemon(&mount.join("captures"), &[])?;
    let script = format!("mount -t tmpfs -o ro none '{}'", mount.display());
    let lines = refused(&lab, &mut with_mounts(&script, &command), 1)?;
    one_line(&lines, &[&mount.to_string_lossy()])
}

#[test]
fn a_missing_cgroup2_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let command = daemon(&home.path().join("captures"), &["--flow-source", "kernel"])?;
    // Otherwise it mounts one for itself.
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--bounding-set=-sys_admin", "--"]);
    unprivileged
        .arg(command.get_program())
        .args(command.get_args());
    let lines = refused(
        &lab,
        &mut with_mounts(&without_cgroup2()?, &unprivileged),
        1,
    )?;
    one_line(&lines, &["mount -t cgroup2", "nsenter --net="])
}

#[test]
fn a_prefix_file_that_cannot_be_used_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    let prefix = home.path().join("prefix");
    let named = prefix.to_string_lossy();
    let arguments = ["--flow-source", "kernel", "--uuid-prefix-file", &named];
    let lines = refused(&lab, &mut daemon(&datadir, &arguments)?, 1)?;
    one_line(&lines, &[&named])?;
    fs::write(&prefix, "../../etc/passwd")?;
    let lines = refused(&lab, &mut daemon(&datadir, &arguments)?, 1)?;
    one_line(&lines, &[&named])
}

#[test]
fn without_privilege_the_missing_capability_is_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    // The program and a data directory, where the user `nobody` can reach them.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755))?;
    let program = home.path().join("packet-headers");
    fs::copy(executable()?, &program).context("copying the daemon")?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let spool = home.path().join("spool");
    fs::create_dir(&spool)?;
    fs::set_permissions(&spool, Permissions::from_mode(0o777))?;

    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--"]);
    command.arg(program).args(["--interface", WAN, "--datadir"]);
    command.arg(spool.join("captures"));
    let lines = refused(&lab, &mut command, 1)?;
    one_line(&lines, &["CAP_"])
}

#[test]
fn output_into_a_pipe_has_no_colours() -> Result<()> {
    let lab = Lab::beside_others()?;
    let home = TempDir::new()?;
    let datadir = home.path().join("captures");
    fs::write(&datadir, "already here")?;
    let lines = refused(&lab, &mut daemon(&datadir, &[])?, 1)?;
    ensure!(!lines.concat().contains('\u{1b}'), "{lines:?}");
    Ok(())
}
