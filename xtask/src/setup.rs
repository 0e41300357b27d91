//! `setup`: makes the toolchain exist that compiles the kernel programs, for who changes them, and the tools
//! of other verbs.
//!
//! The programs are compiled for a target without a prebuilt `core`, so it needs a rustc that takes
//! unstable flags and has the source of its own `core`, and a `bpf-linker` whose LLVM is at least as
//! new as that rustc's. Either rustup's nightly or a distribution's rustc is such a compiler, and the
//! linker is built with the LLVM that the compiler has itself. A pair that is there is used.

use std::{
    fs,
    ops::RangeInclusive,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use xshell::{Cmd, cmd};

use crate::{
    apt::{self, Apt},
    architecture::Architecture,
    probe::{self, Compiler, Compilers, LINKED, Linker, NIGHTLY, Toolchain},
    workspace::Workspace,
};

/// The bpf-linker that setup builds.
const LINKER_VERSION: &str = "0.13.0";
/// The LLVMs that this bpf-linker can be built with.
const LINKER_LLVMS: RangeInclusive<u32> = 21..=23;
/// The cargo-fuzz that setup builds.
const FUZZER_VERSION: &str = "0.13.1";
/// The cargo-mutants that setup builds.
const MUTANTS_VERSION: &str = "27.1.0";
/// The cargo-deny that setup builds.
const DENY_VERSION: &str = "0.20.2";
/// The cargo-deb that setup builds.
const PACKAGER_VERSION: &str = "3.8.0";
/// What libFuzzer is built with, and the Debian package that it is in.
const FUZZER_TOOLS: [(&str, &str); 1] = [("c++", "g++")];
/// What packages are made with.
const PACKAGE_TOOLS: [(&str, &str); 3] =
    [("dpkg-deb", "dpkg"), ("xz", "xz-utils"), ("gzip", "gzip")];
/// What clean roots are booted with, and what looks at packages.
const ROOT_TOOLS: [(&str, &str); 3] = [
    ("lintian", "lintian"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];
/// What the container image is built with.
const IMAGE_TOOLS: [(&str, &str); 1] = [("buildah", "buildah")];
/// Programs that the tests call, and the Debian packages that they are in.
const TEST_TOOLS: &[(&str, &str)] = &[
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("tcptrace", "tcptrace"),
    ("editcap", "wireshark-common"),
    ("capinfos", "wireshark-common"),
    ("mergecap", "wireshark-common"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("bpftool", "bpftool"),
    ("setpriv", "util-linux"),
    ("prlimit", "util-linux"),
    ("mount", "mount"),
    ("groff", "groff-base"),
    ("bash", "bash"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("crun", "crun"),
    ("promtool", "prometheus"),
    ("prometheus", "prometheus"),
    ("rclone", "rclone"),
    ("systemd-analyze", "systemd"),
    ("valgrind", "valgrind"),
    ("chromium", "chromium"),
];

/// What Spark runs on.
const SPARK_TOOLS: [(&str, &str); 1] = [("java", "default-jre-headless")];

/// What makes clean roots of Debian.
const ROOT_MAKER: [(&str, &str); 1] = [("debootstrap", "debootstrap")];

/// What virtual machines are made with: programs that are copied into them, and one that unpacks modules.
const KERNEL_TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ss", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("xz", "xz-utils"),
];

/// Makes the toolchain exist, which compiles the kernel programs: of the versions that are wanted, where it can
/// choose. Prints nothing when there is one.
pub(crate) fn toolchain(workspace: &Workspace, wanted: Option<&Compilers>) -> Result<Toolchain> {
    if let Some(toolchain) = probe::toolchain(workspace, wanted) {
        return Ok(toolchain);
    }
    need_rustup()?;
    let mut failures = Vec::new();
    let mut ways = [by_rustup, by_packages];
    if wanted.is_some_and(|wanted| !wanted.are_nightly()) {
        ways.reverse();
    }
    for way in ways {
        match way(workspace) {
            Ok(()) => match probe::toolchain(workspace, wanted) {
                Some(toolchain) => return Ok(toolchain),
                None => failures.push("what was installed does not fit together".to_owned()),
            },
            Err(error) => {
                eprintln!("this way does not work here: {error:#}");
                failures.push(format!("{error:#}"));
            }
        }
    }
    bail!(
        "the eBPF toolchain could not be installed: {}",
        failures.join("; ")
    )
}

/// Says what of the toolchain is missing, as an error; installs nothing.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    need_rustup()?;
    let Some(toolchain) = probe::toolchain(workspace, None) else {
        let compiler = [NIGHTLY, LINKED]
            .into_iter()
            .find_map(|name| Compiler::named(workspace, name));
        match compiler {
            None => bail!("missing: a rustc with the source of its core; run `cargo xtask setup`"),
            Some(compiler) => bail!(
                "missing: a bpf-linker with LLVM {} or newer; run `cargo xtask setup`",
                compiler.version.llvm_major()
            ),
        }
    };
    println!("the eBPF toolchain is complete: {}", toolchain.name);
    Ok(())
}

/// Makes the programs exist that virtual machines are made with.
pub(crate) fn kernel_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, &KERNEL_TOOLS).context("the machines need more programs")
}

/// Makes the C compiler and library exist that programs for another processor are linked with.
pub(crate) fn cross_tools(workspace: &Workspace, architecture: Architecture) -> Result<()> {
    let (compiler, gnu) = (format!("{}-gcc", architecture.gnu()), architecture.gnu());
    if find_tool(&compiler).is_some() {
        return Ok(());
    }
    // Debian's names have no underscore: gcc-x86-64-linux-gnu.
    let packages = [
        format!("gcc-{}", gnu.replace('_', "-")),
        format!("libc6-dev-{}-cross", architecture.debian()),
    ];
    apt::install(workspace, &packages)
        .with_context(|| format!("another processor's programs need {compiler}"))
}

/// Makes the program exist that makes clean roots.
pub(crate) fn root_maker(workspace: &Workspace) -> Result<()> {
    tools(workspace, &ROOT_MAKER).context("clean roots need a maker")
}

/// Makes the programs exist that the tests call.
pub(crate) fn test_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, TEST_TOOLS).context("the tests need more programs")
}

/// Makes the program exist that Spark runs on.
pub(crate) fn spark_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, &SPARK_TOOLS).context("Spark needs Java")
}

/// Makes the programs exist that build the container image.
pub(crate) fn image_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, &IMAGE_TOOLS).context("the image needs a builder")
}

/// Makes the fuzzer exist, and what it is built with.
pub(crate) fn fuzz_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, &FUZZER_TOOLS).context("the fuzzer needs a C++ compiler")?;
    if !is_version(workspace, &fuzzer(workspace), FUZZER_VERSION) {
        build_tool(workspace, "cargo-fuzz", FUZZER_VERSION).run()?;
    }
    Ok(())
}

/// Makes cargo-mutants exist; where it is.
pub(crate) fn mutants(workspace: &Workspace) -> Result<PathBuf> {
    let own = workspace.tools().join("bin/cargo-mutants");
    // It answers as a verb of cargo only.
    let found = cmd!(workspace.sh, "{own} mutants --version")
        .quiet()
        .ignore_stderr()
        .read();
    if !found.is_ok_and(|found| found.ends_with(MUTANTS_VERSION)) {
        build_tool(workspace, "cargo-mutants", MUTANTS_VERSION).run()?;
    }
    Ok(own)
}

/// Makes cargo-deny exist; where it is. The one in `PATH` is used, if there is one.
pub(crate) fn deny(workspace: &Workspace) -> Result<PathBuf> {
    if let Ok(found) = which::which("cargo-deny") {
        return Ok(found);
    }
    let own = workspace.tools().join("bin/cargo-deny");
    if !is_version(workspace, &own, DENY_VERSION) {
        build_tool(workspace, "cargo-deny", DENY_VERSION).run()?;
    }
    Ok(own)
}

/// Makes the programs exist that try packages in clean roots.
pub(crate) fn root_tools(workspace: &Workspace) -> Result<()> {
    tools(workspace, &ROOT_TOOLS).context("clean roots need more programs")
}

/// Makes cargo-deb exist, and what it calls; where it is.
pub(crate) fn packager(workspace: &Workspace) -> Result<PathBuf> {
    tools(workspace, &PACKAGE_TOOLS).context("packages need more programs")?;
    let own = workspace.tools().join("bin/cargo-deb");
    if !is_version(workspace, &own, PACKAGER_VERSION) {
        build_tool(workspace, "cargo-deb", PACKAGER_VERSION).run()?;
    }
    Ok(own)
}

/// Whether a tool is there, in this version.
fn is_version(workspace: &Workspace, tool: &Path, version: &str) -> bool {
    let found = cmd!(workspace.sh, "{tool} --version")
        .quiet()
        .ignore_stderr()
        .read();
    found.is_ok_and(|found| found.ends_with(version))
}

/// Builds a tool from its crate, into the tools' directory. It is not optimized: to do so takes minutes,
/// and the tools run for seconds.
fn build_tool<'a>(workspace: &'a Workspace, name: &str, version: &str) -> Cmd<'a> {
    let root = workspace.tools();
    cmd!(
        workspace.sh,
        "cargo install {name} --version {version} --locked --force --root {root}"
    )
    .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
    .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
    .env("CARGO_PROFILE_RELEASE_LTO", "off")
    .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
}

/// Where the fuzzer is, once it exists.
pub(crate) fn fuzzer(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/cargo-fuzz")
}

/// Installs the packages of those programs that are missing.
fn tools(workspace: &Workspace, wanted: &[(&str, &str)]) -> Result<()> {
    let missing = |(program, _): &&(&str, &str)| find_tool(program).is_none();
    let packages: Vec<_> = wanted
        .iter()
        .filter(missing)
        .map(|(_, package)| (*package).to_owned())
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    apt::install(workspace, &packages)?;
    match wanted.iter().find(missing) {
        Some((program, package)) => bail!("`{program}` is not in PATH though {package} is here"),
        None => Ok(()),
    }
}

/// Where a program is; system administration's own are not in every user's PATH.
fn find_tool(program: &str) -> Option<PathBuf> {
    which::which(program)
        .or_else(|_| which::which_in(program, Some("/usr/sbin:/sbin"), "/"))
        .ok()
}

fn need_rustup() -> Result<()> {
    which::which("rustup")
        .context("there is no rustup, which gives each crate its compiler: install it")?;
    Ok(())
}

/// Where rustup can download: a nightly with its source, and a linker built with its LLVM, or a prebuilt one.
fn by_rustup(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    if Compiler::named(workspace, NIGHTLY).is_none() {
        let known = cmd!(sh, "rustup which --toolchain nightly rustc")
            .env("RUSTUP_AUTO_INSTALL", "0")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .is_ok();
        if known {
            // Not `toolchain install`, which would exchange the user's nightly for a newer one.
            cmd!(sh, "rustup component add rust-src --toolchain nightly").run()?;
        } else {
            cmd!(
                sh,
                "rustup toolchain install nightly --profile minimal --component rust-src"
            )
            .run()?;
        }
    }
    let compiler = Compiler::named(workspace, NIGHTLY)
        .context("the nightly toolchain is too old: `rustup update nightly`")?;
    if Linker::fitting(workspace, compiler.version.llvm_major()).is_some() {
        return Ok(());
    }
    build_linker(workspace, &compiler).or_else(|error| {
        if which::which("cargo-binstall").is_err() {
            return Err(error.context("there is no cargo-binstall to fetch a prebuilt bpf-linker"));
        }
        let root = workspace.tools();
        let fetch = cmd!(
            sh,
            "cargo binstall --no-confirm --force --root {root} bpf-linker"
        );
        Ok(fetch.run()?)
    })
}

/// On Debian and Ubuntu: the packaged compiler, and a linker built with its LLVM.
fn by_packages(workspace: &Workspace) -> Result<()> {
    let compiler = packaged_compiler(workspace)?;
    let linked = Compiler::named(workspace, LINKED);
    if linked.is_none_or(|linked| linked.version != compiler.version) {
        let sysroot = &compiler.sysroot;
        cmd!(workspace.sh, "rustup toolchain link {LINKED} {sysroot}").run()?;
    }
    if Linker::fitting(workspace, compiler.version.llvm_major()).is_none() {
        build_linker(workspace, &compiler)?;
    }
    Ok(())
}

/// The distribution's compiler, installed if there is none.
pub(crate) fn packaged_compiler(workspace: &Workspace) -> Result<Compiler> {
    if let Some(compiler) = Compiler::packaged(workspace) {
        return Ok(compiler);
    }
    let mut apt = Apt::find(workspace).context("there is no apt-get")?;
    let packages = apt.compiler()?;
    apt.install(&packages)?;
    Compiler::packaged(workspace)
        .with_context(|| format!("{} gave no usable compiler", packages.join(" ")))
}

/// Builds bpf-linker with the LLVM that a compiler has itself, into the tools' directory: the two fit each
/// other, and nothing of LLVM has to be installed.
fn build_linker(workspace: &Workspace, compiler: &Compiler) -> Result<()> {
    let major = compiler.version.llvm_major();
    if !LINKER_LLVMS.contains(&major) {
        bail!("bpf-linker {LINKER_VERSION} does not know LLVM {major}");
    }
    let library = compiler
        .llvm(workspace)
        .context("this rustc has its LLVM inside, not as a library")?;
    let name = library.file_name().context("the library has no name")?;
    // The linker is linked with `libLLVM.so`, and looks for the library by its name when it is started.
    let prefix = workspace.tools().join("llvm");
    let links = prefix.join("lib");
    workspace.sh.remove_path(&prefix)?;
    fs::create_dir_all(&links).with_context(|| format!("making {}", links.display()))?;
    for link in [links.join("libLLVM.so"), links.join(name)] {
        symlink(&library, &link).with_context(|| format!("making {}", link.display()))?;
    }
    let feature = format!("llvm-{major}");
    build_tool(workspace, "bpf-linker", LINKER_VERSION)
        .args(["--no-default-features", "--features", &feature])
        .env("LLVM_PREFIX", prefix)
        .run()
        .context("building bpf-linker")
}
