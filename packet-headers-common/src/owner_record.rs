//! The process that a socket belongs to, as the kernel programs note it.

/// The process that connected, bound or closed a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnerRecord {
    /// The ID of its cgroup in the cgroup2 hierarchy: the inode number of the cgroup's directory.
    pub cgroup: u64,
    /// Its thread group in the initial PID namespace, or 0 if it is not known; in the map of sockets, 0 says that
    /// the connection has ended, and nobody has closed its socket yet.
    pub pid: u32,
    /// Its real user ID in the initial user namespace.
    pub uid: u32,
    /// The name of the thread, as in /proc/PID/comm; zeros follow.
    pub comm: [u8; COMM_LEN],
}

/// Bytes of a thread's name (`TASK_COMM_LEN` in `linux/sched.h`).
pub const COMM_LEN: usize = 16;

/// Bytes of an [`OwnerRecord`].
pub const OWNER_RECORD_LEN: usize = size_of::<OwnerRecord>();

const _: () = {
    assert!(OWNER_RECORD_LEN == 32);
    assert!(core::mem::offset_of!(OwnerRecord, pid) == 8);
    assert!(core::mem::offset_of!(OwnerRecord, uid) == 12);
    assert!(core::mem::offset_of!(OwnerRecord, comm) == 16);
    assert!(size_of::<ListenerKey>() == 16);
};

impl OwnerRecord {
    /// Decodes a record.
    #[must_use]
    pub fn parse(bytes: &[u8; OWNER_RECORD_LEN]) -> Self {
        let (cgroup, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let (pid, rest) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let (uid, rest) = rest.split_first_chunk().unwrap_or((&[0; 4], &[]));
        Self {
            cgroup: u64::from_ne_bytes(*cgroup),
            pid: u32::from_ne_bytes(*pid),
            uid: u32::from_ne_bytes(*uid),
            comm: rest.first_chunk().copied().unwrap_or_default(),
        }
    }

    /// The record as the programs have it in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; OWNER_RECORD_LEN] {
        let mut bytes = [0; OWNER_RECORD_LEN];
        let fields = self.cgroup.to_ne_bytes().into_iter();
        let fields = fields.chain(self.pid.to_ne_bytes());
        let fields = fields.chain(self.uid.to_ne_bytes()).chain(self.comm);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// The name of the thread without what follows it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let end = self.comm.iter().position(|&byte| byte == 0);
        self.comm.get(..end.unwrap_or(COMM_LEN)).unwrap_or_default()
    }
}

/// A port that sockets of a network namespace listen at.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerKey {
    /// The namespace's cookie, or 0 if there is only one.
    pub netns: u64,
    /// The port, in host order.
    pub port: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_from_its_place() {
        let mut bytes = [0; OWNER_RECORD_LEN];
        bytes[..8].copy_from_slice(&7u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&8u32.to_ne_bytes());
        bytes[12..16].copy_from_slice(&9u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(b"curl");
        let record = OwnerRecord::parse(&bytes);
        assert_eq!((record.cgroup, record.pid, record.uid), (7, 8, 9));
        assert_eq!(record.name(), b"curl");
        assert_eq!(record.to_bytes(), bytes);
        let full = OwnerRecord {
            comm: *b"0123456789abcdef",
            ..record
        };
        assert_eq!(full.name(), b"0123456789abcdef");
    }
}
