//! How much of what was sent to a client it has not read yet, by the kernel's account.

use std::io;

use tokio::net::UnixStream;

use crate::kernel::socket_option;

/// The memory of a socket in nine numbers of 32 bits (`SK_MEMINFO_*` in `linux/sock_diag.h`), since
/// Linux 4.12. The third is `SK_MEMINFO_WMEM_ALLOC`.
const UP_TO_WMEM_ALLOC: usize = 3 * size_of::<u32>();

/// The memory that the kernel keeps for what the other end has not read, in bytes: 0 if it has read
/// everything, otherwise more than there is to read.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn unread(socket: &UnixStream) -> io::Result<u32> {
    let memory = socket_option::<UP_TO_WMEM_ALLOC>(socket, libc::SO_MEMINFO)?;
    let [.., a, b, c, d] = memory;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_a_client_has_not_read_is_known() {
        let (mut ours, mut client) = UnixStream::pair().unwrap();
        assert_eq!(unread(&ours).unwrap(), 0);
        ours.write_all(&[7; 1000]).await.unwrap();
        assert!(unread(&ours).unwrap() >= 1000);
        client.read_exact(&mut [0; 1000]).await.unwrap();
        assert_eq!(unread(&ours).unwrap(), 0);
    }
}
