//! The names of interfaces, which pcapng files contain.

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

/// How many removed interfaces are remembered: open files may still get packets from them.
const GONE: usize = 1024;

/// The names of interfaces by index, including those that were removed recently.
///
/// ```
/// use capture_files::InterfaceNames;
///
/// let names = InterfaceNames::default();
/// names.update([(2, "eth0".to_owned())]);
/// assert_eq!((names.name(2), names.name(3)), ("eth0".to_owned(), "if3".to_owned()));
/// ```
#[derive(Debug, Default)]
pub struct InterfaceNames(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    present: HashMap<u32, String>,
    gone: VecDeque<(u32, String)>,
}

impl InterfaceNames {
    /// Replaces the interfaces that there are.
    pub fn update(&self, interfaces: impl IntoIterator<Item = (u32, String)>) {
        let present: HashMap<_, _> = interfaces.into_iter().collect();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut known.present, present);
        for (index, name) in before {
            if !known.present.contains_key(&index) {
                known.gone.push_front((index, name));
            }
        }
        known.gone.truncate(GONE);
    }

    /// An interface's name, or its index in the form `if3` if its name is not known.
    #[must_use]
    pub fn name(&self, index: u32) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || known.gone.iter().find(|(gone, _)| *gone == index);
        let name = known.present.get(&index);
        let name = name.or_else(|| gone().map(|(_, name)| name));
        name.cloned().unwrap_or_else(|| format!("if{index}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32) -> (u32, String) {
        (index, name.to_owned())
    }

    #[test]
    fn a_name_is_known_until_another_interface_has_the_index() {
        let names = InterfaceNames::default();
        assert_eq!(names.name(2), "if2");
        names.update([interface("eth0", 2), interface("veth1", 3)]);
        names.update([interface("lan", 2)]);
        assert_eq!(
            (names.name(2), names.name(3)),
            ("lan".into(), "veth1".into())
        );
        names.update([interface("tun0", 3)]);
        assert_eq!(
            (names.name(2), names.name(3)),
            ("lan".into(), "tun0".into())
        );
    }

    #[test]
    fn names_of_what_has_gone_take_bounded_memory() {
        let names = InterfaceNames::default();
        for index in 0..5000 {
            names.update([interface("veth", index)]);
        }
        assert_eq!(names.0.read().unwrap().gone.len(), GONE);
        assert_eq!(
            (names.name(4998), names.name(4)),
            ("veth".into(), "if4".into())
        );
    }
}
