//! The eBPF objects in the kernel, as `bpftool` lists them, and what is attached by `tc`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::world::command::output_of;
use crate::world::netns::{Namespace, WAN};
use crate::world::wait;

/// How long the kernel may take to free a link or a program after its last reference is gone: it does so
/// in a thread of its own, when it gets to it.
pub const FREED_WITHIN: Duration = wait::LIMIT;

/// What bpftool says of an array of programs.
const ARRAY_OF_PROGRAMS: &str = r#""type":"prog_array""#;

/// The programs, links and maps in the kernel by kind and ID, each with a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory(BTreeMap<(&'static str, u64), String>);

impl Inventory {
    /// Takes the inventory.
    ///
    /// # Errors
    /// `bpftool` is missing or failed.
    pub fn take() -> Result<Self> {
        let mut all = BTreeMap::new();
        for kind in ["prog", "link", "map"] {
            let mut command = Command::new("bpftool");
            let (out, _) = output_of(command.args(["-j", kind, "show"]), "bpftool")?;
            let Value::Array(items) = serde_json::from_str(&out)? else {
                anyhow::bail!("bpftool {kind} show: {out}");
            };
            for item in items {
                let id = item.get("id").and_then(Value::as_u64);
                all.insert((kind, id.context("an item without id")?), item.to_string());
            }
        }
        Ok(Self(all))
    }

    /// What is in this inventory but not in `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let new = self.0.iter().filter(|(id, _)| !before.0.contains_key(*id));
        Self(new.map(|(id, text)| (*id, text.clone())).collect())
    }

    /// How many objects there are of a kind: `prog`, `link` or `map`.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.0.keys().filter(|(of, _)| *of == kind).count()
    }

    /// Waits until nothing in this inventory is in the kernel any more, but for arrays of programs that have
    /// none left.
    ///
    /// The kernel empties such an array when the last descriptor is closed, and takes a reference for the time
    /// that this takes. When another one is opened and closed meanwhile, as bpftool does, it takes one more that
    /// nobody gives back (kernel/bpf/arraymap.c, `prog_array_map_clear`). What was in the array is in the
    /// inventory, too.
    ///
    /// # Errors
    /// What is left.
    pub fn wait_until_gone(&self) -> Result<()> {
        let mut left = Vec::new();
        let waited = wait::within(FREED_WITHIN, "the kernel is as before", || {
            let now = Self::take()?;
            let still = self
                .0
                .iter()
                .filter(|(id, text)| now.0.contains_key(*id) && !text.contains(ARRAY_OF_PROGRAMS));
            left = still.map(|(id, text)| format!("{id:?} {text}")).collect();
            Ok(left.is_empty().then_some(()))
        });
        waited.with_context(|| left.join("\n"))
    }
}

/// What is attached to the interfaces of a namespace in ways that outlive a process: queueing
/// disciplines (clsact is one) and their filters.
///
/// # Errors
/// `tc` is missing or failed.
pub fn qdiscs(namespace: &Namespace) -> Result<String> {
    let mut text = String::new();
    for arguments in [
        &["qdisc", "show"][..],
        &["filter", "show", "dev", WAN, "ingress"],
        &["filter", "show", "dev", WAN, "egress"],
    ] {
        text.push_str(&namespace.tc(arguments)?);
    }
    Ok(text)
}
