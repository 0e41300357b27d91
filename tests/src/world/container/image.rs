//! An OCI image, unpacked as a runtime would do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::command::output_of;

/// The daemon's image: its files and its configuration.
#[derive(Debug)]
pub struct Image {
    home: TempDir,
    config: Value,
}

impl Image {
    /// Unpacks the image that `cargo xtask image` built.
    ///
    /// # Errors
    /// There is none, or it is not an OCI archive of one image.
    pub fn unpack() -> Result<Self> {
        let home = TempDir::new()?;
        let layout = home.path().join("layout");
        extract(&super::archive()?, &layout)?;
        let index = read(&layout.join("index.json"))?;
        let manifest = read(&blob(&layout, &index["manifests"][0])?)?;
        let config = read(&blob(&layout, &manifest["config"])?)?;
        let root = home.path().join("root");
        for layer in manifest["layers"].as_array().context("no layers")? {
            extract(&blob(&layout, layer)?, &root)?;
        }
        Ok(Self { home, config })
    }

    /// Its root directory.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// The command that it starts, before the container's arguments.
    ///
    /// # Errors
    /// It has none.
    pub fn entrypoint(&self) -> Result<Vec<String>> {
        let entrypoint = self.config["config"]["Entrypoint"].clone();
        serde_json::from_value(entrypoint).context("no entrypoint")
    }

    /// The arguments of a container that brings none of its own.
    ///
    /// # Errors
    /// There are none.
    pub fn arguments(&self) -> Result<Vec<String>> {
        serde_json::from_value(self.config["config"]["Cmd"].clone()).context("no arguments")
    }

    /// The value of the label `org.opencontainers.image.<name>`.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let labels = &self.config["config"]["Labels"];
        labels[format!("org.opencontainers.image.{name}")].as_str()
    }

    /// The architecture that it is built for.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.config["architecture"].as_str()
    }
}

fn extract(archive: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(into);
    output_of(&mut tar, "tar").map(drop)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
}

/// The file that a descriptor refers to.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let (kind, value) = digest.split_once(':').context("no digest")?;
    Ok(layout.join("blobs").join(kind).join(value))
}
