//! Debian's packages of other releases, and of programs that are not to be installed: fetched by apt,
//! which checks their signatures, and unpacked below the target directory.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use crate::{architecture::Architecture, workspace::Workspace};

/// A release of Debian, and its kernel's version.
pub(crate) struct Release {
    pub(crate) suite: &'static str,
    pub(crate) kernel: &'static str,
}

/// The releases that still get updates: 5.10 is the oldest kernel with BPF ring buffers among them.
pub(crate) const RELEASES: [Release; 3] = [
    Release {
        suite: "bullseye",
        kernel: "5.10",
    },
    Release {
        suite: "bookworm",
        kernel: "6.1",
    },
    Release {
        suite: "trixie",
        kernel: "6.12",
    },
];

/// The package that depends on a release's newest kernel, without its processor: of virtual machines, which
/// is the smallest.
const NEWEST: &str = "linux-image-cloud-";
/// What runs the machines of this host's processor, and what runs inside.
const TOOLS: [&str; 2] = ["qemu-system-x86", "busybox-static"];
/// What runs those of another.
const FOREIGN_TOOLS: [&str; 1] = ["qemu-system-arm"];
/// Where a package's libraries are.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// Whose signature a release has.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel that was unpacked.
pub(crate) struct Kernel {
    /// The processor that it is for.
    pub(crate) architecture: Architecture,
    /// What `uname -r` says on it.
    pub(crate) release: String,
    /// Its executable.
    pub(crate) vmlinuz: PathBuf,
    /// Where its modules are.
    pub(crate) modules: PathBuf,
}

/// The unpacked emulator: the root of its files.
pub(crate) fn emulator(
    workspace: &Workspace,
    home: &Path,
    architecture: Architecture,
) -> Result<PathBuf> {
    match architecture {
        Architecture::Amd64 => unpacked(workspace, home.join("tools"), &TOOLS),
        Architecture::Arm64 => unpacked(workspace, home.join("arm64/tools"), &FOREIGN_TOOLS),
    }
}

/// These packages and what they need that is not installed here, unpacked once: the root of their
/// files.
pub(crate) fn unpacked(workspace: &Workspace, root: PathBuf, tools: &[&str]) -> Result<PathBuf> {
    if root.is_dir() {
        return Ok(root);
    }
    println!(
        "fetching {} (once, into {})",
        tools.join(" and "),
        root.display()
    );
    // By what would be installed, one knows what is missing. Nothing is installed: on some hosts
    // that would remove another package.
    let simulated = cmd!(
        workspace.sh,
        "apt-get install --simulate --no-install-recommends {tools...}"
    );
    let simulated = simulated.quiet().read().context("asking apt for them")?;
    let packages: Vec<_> = to_be_installed(&simulated).collect();
    let missing = tools.iter().find(|tool| {
        let of_tool = |package: &String| package.split('=').next() == Some(**tool);
        !packages.iter().any(of_tool)
    });
    if let Some(tool) = missing {
        bail!(
            "{tool} is installed already: remove it, or unpack it to {}",
            root.display()
        );
    }
    unpack(workspace, &[], &packages, &root)?;
    Ok(root)
}

/// Packages for another processor, from where this host has its own, unpacked once below `home`: the root
/// of their files.
pub(crate) fn foreign(
    workspace: &Workspace,
    (home, architecture): (&Path, Architecture),
    name: &str,
    packages: &[String],
) -> Result<PathBuf> {
    let root = home.join(name);
    if !root.is_dir() {
        let apt = foreign_apt(workspace, home, architecture, packages)?;
        unpack(workspace, &apt, packages, &root)?;
    }
    Ok(root)
}

/// As [`foreign`], with all packages that these need.
pub(crate) fn foreign_with_needs(
    workspace: &Workspace,
    (home, architecture): (&Path, Architecture),
    name: &str,
    packages: &[String],
) -> Result<PathBuf> {
    let root = home.join(name);
    if !root.is_dir() {
        let apt = &foreign_apt(workspace, home, architecture, packages)?;
        let simulated = cmd!(
            workspace.sh,
            "apt-get {apt...} install --simulate --no-install-recommends {packages...}"
        );
        let simulated = simulated.quiet().read().context("asking apt for them")?;
        let all: Vec<_> = to_be_installed(&simulated).collect();
        unpack(workspace, apt, &all, &root)?;
    }
    Ok(root)
}

/// Options of an apt for another processor, with fresh lists, to fetch these packages.
fn foreign_apt(
    workspace: &Workspace,
    home: &Path,
    architecture: Architecture,
    packages: &[String],
) -> Result<Vec<String>> {
    eprintln!(
        "fetching {} for {} (once, into {})",
        packages.join(" and "),
        architecture.debian(),
        home.display()
    );
    let options = private_apt(&home.join("apt"), None, architecture)?;
    let apt = &options;
    // That one of many lists cannot be had is no error: it may be of no use here.
    let update = cmd!(workspace.sh, "apt-get {apt...} --quiet update");
    update.quiet().ignore_status().ignore_stdout().run()?;
    Ok(options)
}

/// The packages in what `apt-get --simulate` prints, as `name=version`.
fn to_be_installed(simulated: &str) -> impl Iterator<Item = String> {
    simulated.lines().filter_map(|line| {
        let mut words = line.strip_prefix("Inst ")?.split(' ');
        let name = words.next()?;
        let version = words.find_map(|word| word.strip_prefix('('))?;
        Some(format!("{name}={version}"))
    })
}

/// The newest kernel of a release, as it was when it was fetched.
pub(crate) fn kernel(
    workspace: &Workspace,
    home: &Path,
    release: &Release,
    architecture: Architecture,
) -> Result<Kernel> {
    let home = match architecture {
        Architecture::Amd64 => home.to_owned(),
        Architecture::Arm64 => home.join(architecture.debian()),
    };
    let root = home.join(release.suite);
    if !root.is_dir() {
        println!(
            "fetching Debian's kernel {} for {} (once, into {})",
            release.kernel,
            architecture.debian(),
            root.display()
        );
        fetch(workspace, &home, (release, architecture), &root)
            .with_context(|| format!("fetching the kernel of {}", release.suite))?;
    }
    let boot = root.join("boot");
    for entry in fs::read_dir(&boot).with_context(|| format!("reading {}", boot.display()))? {
        let vmlinuz = entry?.path();
        let name = vmlinuz.file_name().and_then(|name| name.to_str());
        if let Some(release) = name.and_then(|name| name.strip_prefix("vmlinuz-")) {
            let modules =
                ["lib", "usr/lib"].map(|lib| root.join(lib).join("modules").join(release));
            let modules = modules.into_iter().find(|path| path.is_dir());
            return Ok(Kernel {
                architecture,
                release: release.to_owned(),
                modules: modules.with_context(|| format!("{release} has no modules"))?,
                vmlinuz,
            });
        }
    }
    bail!("{} has no kernel: remove {}", release.suite, root.display())
}

/// Fetches from the first of this host's Debian mirrors that has it: security updates come first, as
/// the newest, and with the shorter list.
fn fetch(
    workspace: &Workspace,
    home: &Path,
    (release, architecture): (&Release, Architecture),
    root: &Path,
) -> Result<()> {
    let sh = &workspace.sh;
    let newest = format!("{NEWEST}{}", architecture.debian());
    let newest = newest.as_str();
    let mirrors = mirrors(&told(workspace)?, release.suite);
    ensure!(!mirrors.is_empty(), "apt has no mirror of Debian");
    let mut failures = Vec::new();
    for (mirror, suite) in mirrors {
        let state = home.join("apt").join(&suite);
        let source = Some((mirror.as_str(), suite.as_str()));
        let options = private_apt(&state, source, architecture)?;
        let options = &options;
        let found = cmd!(sh, "apt-get {options...} --quiet update")
            .quiet()
            .run()
            .and_then(|()| {
                cmd!(sh, "apt-cache {options...} depends {newest}")
                    .quiet()
                    .read()
            });
        match found.map(|text| dependency(&text)) {
            // A mirror may lack what its list has.
            Ok(Some(package)) => match unpack(workspace, options, &[package], root) {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(format!("{suite}: {error:#}")),
            },
            Ok(None) => failures.push(format!("{suite} has no {newest}")),
            Err(error) => failures.push(format!("{suite}: {error}")),
        }
    }
    bail!("{}", failures.join("; "))
}

/// The address of the mirror that has a suite, without its updates.
pub(crate) fn mirror(workspace: &Workspace, suite: &str) -> Result<String> {
    let last = mirrors(&told(workspace)?, suite).pop();
    let (address, _) = last.context("apt has no mirror of Debian")?;
    Ok(address)
}

/// What apt knows: labels and addresses.
fn told(workspace: &Workspace) -> Result<String> {
    let format = "$(LABEL) $(REPO_URI)";
    let told = cmd!(
        workspace.sh,
        "apt-get indextargets --format {format} 'Created-By: Packages'"
    );
    told.quiet().read().context("asking apt for its mirrors")
}

/// Where a suite may be, by the labels and addresses of what apt knows: address and name.
fn mirrors(told: &str, suite: &str) -> Vec<(String, String)> {
    let of = |label: &str, suite: String| {
        let line = told.lines().find_map(|line| line.strip_prefix(label));
        line.map(|address| (address.trim().to_owned(), suite))
    };
    let security = of("Debian-Security ", format!("{suite}-security"));
    security
        .into_iter()
        .chain(of("Debian ", suite.to_owned()))
        .collect()
}

/// The only package that `apt-cache depends` names.
fn dependency(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "));
    line.map(str::to_owned)
}

/// Options of an apt that knows nothing of what is installed, and one suite of a mirror only, or all that
/// this host knows.
fn private_apt(
    state: &Path,
    source: Option<(&str, &str)>,
    architecture: Architecture,
) -> Result<Vec<String>> {
    for directory in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(directory))?;
    }
    let status = state.join("status");
    fs::write(&status, "")?;
    let at = |path: &Path| path.display().to_string();
    let mut settings = vec![
        format!("Dir::State={}", at(state)),
        format!("Dir::State::lists={}", at(&state.join("lists"))),
        format!("Dir::State::status={}", at(&status)),
        format!("Dir::Cache={}", at(&state.join("cache"))),
        "Acquire::Languages=none".to_owned(),
        format!("APT::Architecture={}", architecture.debian()),
        format!("APT::Architectures={}", architecture.debian()),
        "APT::Sandbox::User=".to_owned(),
    ];
    if let Some((mirror, suite)) = source {
        let sources = state.join("sources.list");
        fs::write(
            &sources,
            format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"),
        )?;
        settings.extend([
            format!("Dir::Etc::SourceList={}", at(&sources)),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        ]);
    }
    let option = |setting: String| ["--option".to_owned(), setting];
    Ok(settings.into_iter().flat_map(option).collect())
}

/// Where a program looks for libraries that were unpacked to `root`, before the host's: for
/// `LD_LIBRARY_PATH`.
pub(crate) fn library_path(root: &Path) -> Result<OsString> {
    let inherited = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let unpacked = LIBRARIES.map(|directory| root.join(directory));
    let all = unpacked.into_iter().chain(env::split_paths(&inherited));
    Ok(env::join_paths(all)?)
}

/// Downloads packages and unpacks them to `root`, whole or not at all.
fn unpack(workspace: &Workspace, apt: &[String], packages: &[String], root: &Path) -> Result<()> {
    let sh = &workspace.sh;
    let partial = root.with_extension("partial");
    let files = partial.join("packages");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&files)?;
    {
        let _there = sh.push_dir(&files);
        let sandbox = ["--option", "APT::Sandbox::User="];
        cmd!(
            sh,
            "apt-get {apt...} {sandbox...} --quiet download {packages...}"
        )
        .run()?;
    }
    for entry in fs::read_dir(&files)? {
        let file = entry?.path();
        cmd!(sh, "dpkg-deb --extract {file} {partial}")
            .quiet()
            .run()?;
    }
    fs::remove_dir_all(&files)?;
    fs::rename(&partial, root).with_context(|| format!("making {}", root.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_installed_has_name_and_version() {
        let simulated = "Reading package lists...\n\
            Remv qemu-utils [1:10.0]\n\
            Inst seabios (1.16.2-1 Debian:12/stable [all])\n\
            Inst libnl-3-200 [3.6] (3.7.0-0.2 Debian:12/stable [amd64]) []\n\
            Conf seabios (1.16.2-1 Debian:12/stable [all])\n";
        let packages: Vec<_> = to_be_installed(simulated).collect();
        assert_eq!(packages, ["seabios=1.16.2-1", "libnl-3-200=3.7.0-0.2"]);
    }

    #[test]
    fn the_mirrors_are_the_hosts_own_with_another_suite() {
        let told = "Other http://other/x/\n\
            Debian http://mirror/debian/\n\
            Debian-Security http://mirror/security/\n\
            Debian http://mirror/debian/\n";
        let security = ("http://mirror/security/".into(), "trixie-security".into());
        let main = ("http://mirror/debian/".into(), "trixie".into());
        assert_eq!(mirrors(told, "trixie"), [security, main]);
        assert_eq!(mirrors("Ubuntu http://mirror/ubuntu/\n", "trixie"), []);
    }

    #[test]
    fn the_newest_kernel_is_what_the_package_depends_on() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-50-cloud-amd64\n";
        let newest = Some("linux-image-6.1.0-50-cloud-amd64".to_owned());
        assert_eq!(dependency(text), newest);
        assert_eq!(dependency("linux-image-cloud-amd64\n"), None);
    }
}
