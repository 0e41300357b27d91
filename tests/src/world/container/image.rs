//! An OCI image, taken apart as a runtime does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::world::process::output_of;

/// The daemon's image: its files, and what it says of itself.
#[derive(Debug)]
pub struct Image {
    home: TempDir,
    config: Value,
}

impl Image {
    /// Unpacks the image that was built.
    ///
    /// # Errors
    /// It was not, or is no OCI archive of one image.
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

    /// What it starts; a container's arguments follow.
    ///
    /// # Errors
    /// It starts nothing.
    pub fn entrypoint(&self) -> Result<Vec<String>> {
        let entrypoint = self.config["config"]["Entrypoint"].clone();
        serde_json::from_value(entrypoint).context("no entrypoint")
    }

    /// Its arguments where a container has none.
    ///
    /// # Errors
    /// There are none.
    pub fn arguments(&self) -> Result<Vec<String>> {
        serde_json::from_value(self.config["config"]["Cmd"].clone()).context("no arguments")
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let labels = &self.config["config"]["Labels"];
        labels[format!("org.opencontainers.image.{name}")].as_str()
    }

    /// The architecture that it says it is for.
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

/// Where what a descriptor means is.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let (kind, value) = digest.split_once(':').context("no digest")?;
    Ok(layout.join("blobs").join(kind).join(value))
}
