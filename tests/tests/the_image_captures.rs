//! Promise: the container image captures with only what the manifests give it, or with the flags of `docker run`
//! that are documented.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::http;
use end_to_end::traffic::{self, Plan};
use end_to_end::verify::captures::Captures;
use end_to_end::world::command::output_of;
use end_to_end::world::container::{Account, Container, Docker, Image, Profile};
use end_to_end::world::deploy::{self, Mount, Pod};
use end_to_end::world::netns::Lab;
use end_to_end::world::wait;
use tempfile::TempDir;

/// A user that no host has.
const NOBODY: u32 = 65_532;

/// A directory of the node that belongs to the account.
fn disk(account: &Account) -> Result<TempDir> {
    let disk = TempDir::new()?;
    fs::set_permissions(disk.path(), Permissions::from_mode(0o755))?;
    std::os::unix::fs::chown(disk.path(), Some(account.user), Some(account.user))?;
    Ok(disk)
}

/// The user and the capabilities that the manifests give.
fn account(pod: &Pod) -> Result<Account> {
    let capabilities = pod.security.capabilities.as_ref();
    let capabilities = capabilities.context("no capabilities")?;
    ensure!(capabilities.drop == ["ALL"], "{capabilities:?}");
    Ok(Account {
        user: pod.security.run_as_user.context("no user")?,
        capabilities: capabilities.add.clone(),
    })
}

fn captures_a_connection(account: &Account, pod: &Pod) -> Result<()> {
    let lab = Lab::new()?;
    let (image, disk) = (Image::unpack()?, disk(account)?);
    let place = (&lab.host, disk.path());
    let mut container = Container::run(&image, pod, place, account, Profile::New)?;
    container.wait_until_it_captures()?;
    for probe in &pod.probes {
        http::get(&lab.host, (Ipv4Addr::LOCALHOST, pod.port).into(), probe)?.good()?;
    }
    let transcript = leaves_a_file(&lab, container, disk.path())?;
    ensure!(transcript.contains("\"balance\":\"exact\""), "{transcript}");
    Ok(())
}

/// Makes a connection, which must have a file, and stops the container; returns what it printed.
fn leaves_a_file(lab: &Lab, container: Container, disk: &Path) -> Result<String> {
    let connections = traffic::run(lab, &[Plan::SHORT], &())?;
    let [connection] = &connections[..] else {
        anyhow::bail!("{connections:?}");
    };
    let captures = Captures::new(disk.join("pcap"));
    let (uuid, file) = wait::until("a file on the host", || {
        Ok(captures.published()?.into_iter().next())
    })?;
    ensure!(
        uuid.ends_with(&format!("_unsafe_{:016X}", connection.cookie)),
        "{uuid} is not the name of {connection}"
    );
    // The handshakes at both ends, and some payload.
    ensure!(captures.read(&file)?.len() > 8, "{}", file.display());
    let transcript = container.stop()?;
    captures.no_payload()?;
    captures.no_partial_files()?;
    Ok(transcript)
}

#[test]
fn as_the_manifests_have_it() -> Result<()> {
    let pod = deploy::pod()?;
    ensure!(!pod.security.privileged && pod.security.read_only_root_filesystem);
    ensure!(pod.security.allow_privilege_escalation == Some(false));
    captures_a_connection(&account(&pod)?, &pod)
}

#[test]
fn as_a_user_with_the_same_capabilities() -> Result<()> {
    let pod = deploy::pod()?;
    let user = Account {
        user: NOBODY,
        ..account(&pod)?
    };
    captures_a_connection(&user, &pod)
}

#[test]
fn without_one_of_the_capabilities_it_says_which() -> Result<()> {
    let (lab, pod, image) = (Lab::new()?, deploy::pod()?, Image::unpack()?);
    let whole = account(&pod)?;
    let disk = disk(&whole)?;
    for missing in &whole.capabilities {
        let mut less = whole.clone();
        less.capabilities.retain(|name| name != missing);
        let place = (&lab.host, disk.path());
        let lines = Container::run(&image, &pod, place, &less, Profile::New)?.fails()?;
        let text = lines.join("\n");
        for name in &whole.capabilities {
            let named = text.contains(&format!("CAP_{name}"));
            ensure!(named == (name == missing), "without {missing}: {text}");
        }
    }
    Ok(())
}

#[test]
fn a_seccomp_profile_that_refuses_bpf_is_named() -> Result<()> {
    let (lab, pod, image) = (Lab::new()?, deploy::pod()?, Image::unpack()?);
    let account = account(&pod)?;
    let disk = disk(&account)?;
    let place = (&lab.host, disk.path());
    let lines = Container::run(&image, &pod, place, &account, Profile::Old)?.fails()?;
    ensure!(lines.join("\n").contains("seccomp"), "{lines:#?}");
    Ok(())
}

/// Runs the image by Docker; it must capture a connection of a process outside of its container.
fn captures_by(docker: &Docker) -> Result<()> {
    let (lab, image, disk) = (Lab::new()?, Image::unpack()?, TempDir::new()?);
    let mut container = Container::docker(&image, docker, (&lab.host, disk.path()))?;
    container.wait_until_it_captures()?;
    let transcript = leaves_a_file(&lab, container, disk.path())?;
    ensure!(!transcript.contains("part of"), "{transcript}");
    ensure!(transcript.contains("balance=exact"), "{transcript}");
    Ok(())
}

#[test]
fn by_docker_with_the_documented_flags() -> Result<()> {
    let docker = Docker::documented()?;
    ensure!(docker.on_host_network && docker.in_host_cgroups);
    captures_by(&docker)
}

#[test]
fn by_docker_with_the_hosts_cgroups_as_a_volume() -> Result<()> {
    let mut docker = Docker::documented()?;
    docker.in_host_cgroups = false;
    docker.volumes.push(Mount {
        path: "/sys/fs/cgroup".into(),
        host: Some("/sys/fs/cgroup".into()),
        read_only: true,
    });
    captures_by(&docker)
}

#[test]
fn in_a_cgroup_namespace_of_its_own_it_says_what_is_missed() -> Result<()> {
    let (lab, image, disk) = (Lab::new()?, Image::unpack()?, TempDir::new()?);
    let mut docker = Docker::documented()?;
    docker.in_host_cgroups = false;
    let mut container = Container::docker(&image, &docker, (&lab.host, disk.path()))?;
    let said = container.wait_until_it_says("only a part of the cgroup2 hierarchy")?;
    for word in ["WARN", "no name and no file", "--cgroupns=host"] {
        ensure!(said.contains(word), "no {word:?} in: {said}");
    }
    container.wait_until_it_captures()?;
    container.stop().map(drop)
}

#[test]
fn it_holds_one_static_file_and_says_what_it_is() -> Result<()> {
    let image = Image::unpack()?;
    let root = image.root();
    let names = fs::read_dir(&root)?.map(|entry| Ok(entry?.file_name().into_string()));
    let mut names = names
        .collect::<Result<Result<Vec<_>, _>>>()?
        .unwrap_or_default();
    // The volume's mount point may exist already.
    names.retain(|name| name != "var");
    names.sort();
    assert_eq!(names, ["LICENSE", "packet-headers"]);
    // It runs without any other file, so it is static.
    let mut command = Command::new("chroot");
    let (help, _) = output_of(
        command.arg(&root).args(["/packet-headers", "--help"]),
        "coreutils",
    )?;
    ensure!(help.contains("--datadir"), "{help}");
    assert_eq!(image.entrypoint()?, ["/packet-headers"]);
    assert_eq!(
        image.arguments()?,
        ["--datadir=/var/lib/packet-headers/pcap"]
    );
    assert_eq!(image.label("licenses"), Some("Apache-2.0"));
    assert_eq!(image.label("version"), Some(env!("CARGO_PKG_VERSION")));
    let here = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    assert_eq!(image.architecture(), Some(here));
    let license = Path::new(env!("CARGO_MANIFEST_DIR")).join("../LICENSE");
    assert_eq!(fs::read(root.join("LICENSE"))?, fs::read(license)?);
    Ok(())
}
