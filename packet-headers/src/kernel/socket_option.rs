//! Socket options that no safe wrapper knows.
#![allow(
    unsafe_code,
    reason = "no safe wrapper knows SO_NETNS_COOKIE and SO_MEMINFO; the call is one getsockopt into \
              an array"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// The first bytes of an option of level `SOL_SOCKET`. Those that the kernel does not write are 0.
///
/// # Errors
/// `ENOPROTOOPT` on kernels that do not know the option.
pub(crate) fn socket_option<const LENGTH: usize>(
    socket: impl AsFd,
    option: libc::c_int,
) -> io::Result<[u8; LENGTH]> {
    let mut value = [0u8; LENGTH];
    let mut length = libc::socklen_t::try_from(LENGTH).map_err(io::Error::other)?;
    // SAFETY: both pointers are to live variables, and the length is the size of the first.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
