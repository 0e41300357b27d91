//! The paths of cgroups, by the IDs that the kernel tells.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most cgroups that are known. Whoever may make cgroups can make many.
const MOST: usize = 1 << 16;

/// How soon after a walk another one may begin, and how many times as long as that took: what is unknown does not take
/// more than a twentieth of a processor.
const PAUSE: Duration = Duration::from_millis(500);
const SHARE: u32 = 20;

/// The ID of the root.
const ROOT: u64 = 1;

/// The paths of cgroups in the cgroup2 hierarchy.
///
/// The ID of a cgroup is the inode number of its directory (Linux 5.5, 64 bits), so a walk through the directories
/// finds all of them. There is no walk as long as every ID is known.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// Where the hierarchy is mounted, if it is.
    root: Option<PathBuf>,
    known: HashMap<u64, Arc<str>>,
    next_walk: Option<Instant>,
}

impl Cgroups {
    /// The cgroups below this mount.
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self {
            root,
            known: HashMap::from([(ROOT, Arc::from("/"))]),
            next_walk: None,
        }
    }

    /// The path of a cgroup; `None` if there is none of this ID any more, or if it was looked for too often.
    pub(crate) fn path(&mut self, id: u64) -> Option<Arc<str>> {
        if !self.known.contains_key(&id) {
            self.walk();
        }
        self.known.get(&id).cloned()
    }

    /// Looks for all cgroups, unless it was done just now.
    fn walk(&mut self) {
        let begun = Instant::now();
        let Some(root) = self.root.as_deref() else {
            return;
        };
        if self.next_walk.is_some_and(|next| begun < next) {
            return;
        }
        self.known = walk(root);
        self.next_walk = Some(begun + PAUSE.max(begun.elapsed() * SHARE));
    }
}

/// The paths of all cgroups below a mount, by ID; of the first of them if there are very many.
fn walk(root: &Path) -> HashMap<u64, Arc<str>> {
    let mut known = HashMap::from([(ROOT, Arc::from("/"))]);
    let mut unread = vec![(root.to_owned(), String::new())];
    while let Some((directory, path)) = unread.pop() {
        // It may be gone by now.
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if known.len() >= MOST {
                return known;
            }
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            known.insert(entry.ino(), Arc::from(path.as_str()));
            unread.push((entry.path(), path));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn id(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn a_cgroup_is_found_by_the_inode_of_its_directory() {
        let home = tempfile::tempdir().unwrap();
        let made = home.path().join("system.slice/web.service");
        fs::create_dir_all(&made).unwrap();
        fs::write(made.join("cgroup.procs"), "").unwrap();
        let mut cgroups = Cgroups::new(Some(home.path().to_owned()));
        let found = cgroups.path(id(&made));
        assert_eq!(found.as_deref(), Some("/system.slice/web.service"));
        assert_eq!(cgroups.path(ROOT).as_deref(), Some("/"));
        assert_eq!(cgroups.path(id(&made.join("cgroup.procs"))), None);
    }

    #[test]
    fn a_new_cgroup_is_found_after_a_pause_and_unknown_ones_cost_one_walk() {
        let home = tempfile::tempdir().unwrap();
        let mut cgroups = Cgroups::new(Some(home.path().to_owned()));
        assert_eq!(cgroups.path(u64::MAX), None);
        let made = home.path().join("later");
        fs::create_dir(&made).unwrap();
        assert_eq!(cgroups.path(id(&made)), None, "walked again at once");
        cgroups.next_walk = Some(Instant::now());
        assert_eq!(cgroups.path(id(&made)).as_deref(), Some("/later"));
    }

    #[test]
    fn without_a_hierarchy_only_the_root_is_known() {
        let mut cgroups = Cgroups::new(None);
        assert_eq!(cgroups.path(7), None);
        assert_eq!(cgroups.path(ROOT).as_deref(), Some("/"));
    }
}
