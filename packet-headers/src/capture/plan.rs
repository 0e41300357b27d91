//! What to attach to and detach from. Pure.

use std::collections::{BTreeMap, HashSet};

use crate::host::interfaces::Interface;

/// The steps that lead from the captured interfaces to the wanted ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// By index.
    pub(super) detach: Vec<u32>,
    pub(super) attach: Vec<Interface>,
    /// Captured interfaces that have a new name; nothing needs to be attached.
    pub(super) renamed: Vec<Interface>,
}

impl Plan {
    /// Interfaces whose index is in `stale` are detached from, even if they are wanted: the index
    /// may belong to another interface by now.
    pub(super) fn new<'a>(
        captured: impl Iterator<Item = &'a Interface>,
        wanted: &[Interface],
        stale: &HashSet<u32>,
    ) -> Self {
        let have: BTreeMap<u32, &Interface> = captured.map(|i| (i.index, i)).collect();
        let want: BTreeMap<u32, &Interface> = wanted.iter().map(|i| (i.index, i)).collect();
        let stays = |interface: &Interface| {
            let wanted = want.get(&interface.index);
            !stale.contains(&interface.index)
                && wanted.is_some_and(|wanted| wanted.link_type == interface.link_type)
        };
        let mut plan = Self {
            detach: have
                .values()
                .filter(|i| !stays(i))
                .map(|i| i.index)
                .collect(),
            ..Self::default()
        };
        for (index, &interface) in &want {
            match have.get(index).filter(|have| stays(have)) {
                None => plan.attach.push(interface.clone()),
                Some(have) if have.name != interface.name => plan.renamed.push(interface.clone()),
                Some(_) => {}
            }
        }
        plan
    }
}
