//! Whether Debian's package does what one expects: installed in clean systems, configured, upgraded, removed, purged.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::cmd;

use super::{edition::Edition, package, stage::Stage};
use crate::{
    machines::clean_root::{self, System},
    setup,
    workspace::Workspace,
};

/// The releases of Debian that it is tried on.
const SUITES: [&str; 2] = ["bookworm", "trixie"];
/// A version above each that a release has.
const LATER: &str = "99.0.0-1";
const CONFIGURATION: &str = "/etc/packet-headers/packet-headers.toml";
const CAPTURES: &str = "/var/lib/packet-headers/pcap";

/// Makes a connection over loopback, of which a listener and a client send `lines` each, half a second apart.
fn talk(lines: u32) -> String {
    format!(
        "perl -MIO::Socket::INET -e '
            my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1\") or die;
            if (fork) {{
                my $peer = $listener->accept or die;
                for (1..{lines}) {{ print {{ $peer }} \"payload\\n\"; $peer->flush; <$peer>; select undef, undef, undef, 0.5 }}
            }} else {{
                my $peer = IO::Socket::INET->new(\"127.0.0.1:\" . $listener->sockport) or die;
                while (<$peer>) {{ print {{ $peer }} \"payload\\n\"; $peer->flush }}
            }}'"
    )
}

/// Tries the package of a stage in each clean system.
pub(crate) fn run(workspace: &Workspace, edition: &Edition, stage: &Stage) -> Result<()> {
    setup::root_tools(workspace)?;
    let home = workspace.target.join("trial");
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    workspace.sh.create_dir(&home)?;
    let packages = [None, Some(LATER)].map(|version| {
        let package = package::debian(workspace, edition, stage, (version, &home));
        package.map(|path| PathBuf::from("/packages").join(path.file_name().unwrap_or_default()))
    });
    let [first, later] = packages;
    let (first, later) = (first?, later?);
    let files = [&first, &later].map(|path| home.join(path.file_name().unwrap_or_default()));
    cmd!(
        workspace.sh,
        "lintian --allow-root --fail-on error,warning {files...}"
    )
    .run()
    .context("lintian finds fault with the package")?;
    for suite in SUITES {
        let root = clean_root::root(workspace, suite)?;
        let system = System::boot(workspace, &root, &home)?;
        let trial = Trial { system: &system };
        trial
            .all(&first.display().to_string(), &later.display().to_string())
            .with_context(|| format!("on Debian {suite}"))?;
        println!("Debian {suite}: installed, configured, upgraded, removed and purged");
    }
    Ok(())
}

/// The life of a package in a system.
struct Trial<'a> {
    system: &'a System<'a>,
}

impl Trial<'_> {
    fn all(&self, first: &str, later: &str) -> Result<()> {
        self.is_installed_and_captures(first)
            .context("installing")?;
        let whole = self.is_configured().context("configuring")?;
        self.is_upgraded(later, &whole).context("upgrading")?;
        self.is_removed(&whole).context("removing")?;
        self.comes_back(later).context("installing again")?;
        self.is_purged(&whole).context("purging")
    }

    /// The daemon's process.
    fn daemon(&self) -> Result<String> {
        self.system
            .run("systemctl show --property MainPID --value packet-headers")
    }

    fn is_installed_and_captures(&self, package: &str) -> Result<()> {
        // Where the unit of deploy/systemd has run before, by hand.
        let by_hand = "cd /var/lib && mkdir -m 700 -p private && mkdir -p private/packet-headers/pcap &&
             touch private/packet-headers/pcap/before && chown -R 61234:61234 private/packet-headers &&
             ln -s private/packet-headers packet-headers";
        self.system.run(by_hand)?;
        self.system.run(&format!("dpkg --install {package}"))?;
        // Active is who captures.
        self.system
            .wait_for("the daemon", "systemctl is-active packet-headers")?;
        self.system.run("systemctl is-enabled packet-headers")?;
        let idle = "! systemctl is-enabled --quiet packet-headers-upload.timer";
        self.system
            .run(idle)
            .context("the uploader has no destination")?;
        self.system.run("packet-headers --version")?;
        // In tenths, as deploy/README.md has it of the unit.
        let exposed = "systemd-analyze security --threshold=17 --no-pager packet-headers.service";
        self.system
            .run(exposed)
            .context("its unit exposes more than that of deploy/systemd")?;
        let pages = "zcat /usr/share/man/man1/packet-headers-flows.1.gz | grep -q 'packet.*flows'";
        self.system.run(pages)?;
        let user = self
            .system
            .run("stat --format %U:%a /var/lib/packet-headers")?;
        ensure!(
            user == "packet-headers:700",
            "the captures' directory is {user}"
        );
        Ok(())
    }

    /// Takes a setting from the configuration, and captures with it; which file that gave, and its checksum.
    fn is_configured(&self) -> Result<String> {
        let set = format!(
            "sed -i 's/^#interface = .*/interface = [\"lo\"]\\nlinger = \"100ms\"/' {CONFIGURATION} &&
             packet-headers config --config {CONFIGURATION} | grep 'interface = .*lo' &&
             systemctl restart packet-headers"
        );
        self.system.run(&set)?;
        self.system.run(&talk(2))?;
        let one = format!("sha256sum $(find {CAPTURES} -name '*.pcap') </dev/null | grep .pcap");
        let whole = self.system.wait_for("a capture", &one)?;
        ensure!(whole.lines().count() == 1, "one connection has {whole}");
        let rows = self
            .system
            .run(&format!("packet-headers flows --format jsonl {CAPTURES}"))?;
        ensure!(
            rows.contains("127.0.0.1"),
            "it is not of the connection: {rows}"
        );
        self.system.run(&format!("! grep -r payload {CAPTURES}"))?;
        // What is set while it runs is in force after a reload.
        let again = format!(
            "echo 'max-files = 1000' >> {CONFIGURATION} && systemctl reload packet-headers"
        );
        let before = self.daemon()?;
        self.system.run(&again)?;
        ensure!(before == self.daemon()?, "a reload started it again");
        Ok(whole)
    }

    /// While a connection goes on, whose packets before and after are in files.
    fn is_upgraded(&self, package: &str, whole: &str) -> Result<()> {
        self.system
            .run(&format!("{} >/dev/null 2>&1 &", talk(600)))?;
        let grows = "find /var/lib/packet-headers/pcap.partial -name '*.pcap' -size +0 | grep .";
        self.system.wait_for("a file that grows", grows)?;
        let before = self.daemon()?;
        let configured = self.system.run(&format!("sha256sum {CONFIGURATION}"))?;
        self.system
            .run(&format!("dpkg --install {package} </dev/null"))?;
        self.system
            .wait_for("the daemon", "systemctl is-active packet-headers")?;
        ensure!(
            before != self.daemon()?,
            "the daemon is still the former version's"
        );
        let version = self
            .system
            .run("dpkg-query --show --showformat '${Version}' packet-headers")?;
        ensure!(version == LATER, "the version is {version}");
        let kept = format!(
            "echo '{configured}' | sha256sum --check --quiet && {}",
            same(whole)
        );
        self.system
            .run(&kept)
            .context("configuration and captures stay as they were")?;
        let two = format!("test $(find {CAPTURES} -name '*.pcap' | wc -l) -ge 2");
        self.system.wait_for("the file that grew", &two)?;
        self.system.wait_for("a file that grows again", grows)?;
        Ok(())
    }

    fn is_removed(&self, whole: &str) -> Result<()> {
        self.system.run("dpkg --remove packet-headers")?;
        self.system
            .run("! systemctl is-active --quiet packet-headers && ! pgrep -x packet-headers")?;
        self.system.run(&format!(
            "test -e {CONFIGURATION} && ! test -e /usr/bin/packet-headers"
        ))?;
        self.system.run(&same(whole)).context("captures stay")?;
        Ok(())
    }

    fn comes_back(&self, package: &str) -> Result<()> {
        self.system
            .run(&format!("dpkg --install {package} </dev/null"))?;
        self.system
            .wait_for("the daemon", "systemctl is-active packet-headers")?;
        let set = format!("grep -q 'max-files = 1000' {CONFIGURATION}");
        self.system
            .run(&set)
            .context("with the configuration it had")?;
        Ok(())
    }

    fn is_purged(&self, whole: &str) -> Result<()> {
        let said = self.system.run("dpkg --purge packet-headers 2>&1")?;
        ensure!(said.contains("captures are kept"), "dpkg says {said}");
        self.system.run(&same(whole)).context("captures stay")?;
        self.system
            .run("test ! -e /etc/packet-headers && id packet-headers")?;
        let left = "find /etc/systemd /usr/lib/systemd /var/lib/systemd -name '*packet-headers*'";
        let left = self.system.run(left)?;
        ensure!(left.is_empty(), "left behind: {left}");
        Ok(())
    }
}

/// Succeeds where files have these checksums.
fn same(sums: &str) -> String {
    format!("echo '{sums}' | sha256sum --check --quiet")
}
