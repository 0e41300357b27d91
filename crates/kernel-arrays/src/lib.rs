//! Maps the arrays that kernel programs and the daemon share: the only crate that does.
#![allow(
    unsafe_code,
    reason = "two system calls, and references to numbers at places that were checked"
)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What this process does with an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads. To write nevertheless ends the process by a signal.
    Read,
    /// It reads and writes.
    Write,
}

/// An array, mapped as long as this lives: elements of one size.
#[derive(Debug)]
pub struct KernelArray {
    start: NonNull<u8>,
    elements: u32,
    element_len: usize,
}

// SAFETY: it is memory, which every thread may use; whoever looks into it argues for what it does.
unsafe impl Send for KernelArray {}
// SAFETY: as above.
unsafe impl Sync for KernelArray {}

impl KernelArray {
    /// Maps an array with so many elements of so many bytes.
    ///
    /// # Errors
    /// When the kernel does not map it.
    pub fn new(
        map: BorrowedFd<'_>,
        elements: u32,
        element_len: usize,
        access: Access,
    ) -> io::Result<Self> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        let length = elements as usize * element_len;
        // SAFETY: a new mapping, at no place in particular, touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                map,
                0,
            )
        };
        let start = NonNull::new(start?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            elements,
            element_len,
        })
    }

    /// The number of elements.
    #[must_use]
    pub const fn elements(&self) -> u32 {
        self.elements
    }

    /// Where an element begins; `None` when there is none of this number.
    #[must_use]
    pub fn element(&self, number: u32) -> Option<*mut u8> {
        self.place(number, 0, self.element_len)
    }

    /// The number at `offset` in an element. Programs may load and store it at the same time, each by
    /// one instruction. `None` when it does not lie in the element, aligned to its size.
    #[must_use]
    #[inline]
    pub fn u32_at(&self, number: u32, offset: usize) -> Option<&AtomicU32> {
        let place = self.place(number, offset, size_of::<u32>())?.cast::<u32>();
        // SAFETY: within the mapping, which lives as long as `self`, and aligned.
        place
            .is_aligned()
            .then(|| unsafe { AtomicU32::from_ptr(place) })
    }

    /// As [`Self::u32_at`].
    #[must_use]
    #[inline]
    pub fn u64_at(&self, number: u32, offset: usize) -> Option<&AtomicU64> {
        let place = self.place(number, offset, size_of::<u64>())?.cast::<u64>();
        // SAFETY: as above.
        place
            .is_aligned()
            .then(|| unsafe { AtomicU64::from_ptr(place) })
    }

    /// Where so many bytes at `offset` in an element begin.
    #[inline]
    fn place(&self, number: u32, offset: usize, length: usize) -> Option<*mut u8> {
        let within = offset.checked_add(length)? <= self.element_len;
        let at = number as usize * self.element_len + offset;
        (number < self.elements && within).then(|| self.start.as_ptr().wrapping_add(at))
    }
}

impl Drop for KernelArray {
    fn drop(&mut self) {
        let length = self.elements as usize * self.element_len;
        // SAFETY: this is what was mapped, and all that borrows from it has ended.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast(), length) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::Ordering::Relaxed;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    /// A file in memory is mapped the same.
    fn array(access: Access) -> (File, KernelArray) {
        let file = File::from(memfd_create("array", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(3 * 24).unwrap();
        let array = KernelArray::new(file.as_fd(), 3, 24, access).unwrap();
        (file, array)
    }

    #[test]
    fn numbers_are_where_the_kernel_has_them() {
        let (file, array) = array(Access::Write);
        file.write_all_at(&7u64.to_ne_bytes(), 2 * 24 + 16).unwrap();
        assert_eq!(array.u64_at(2, 16).unwrap().load(Relaxed), 7);
        array.u32_at(1, 4).unwrap().store(9, Relaxed);
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 24 + 4).unwrap();
        assert_eq!(u32::from_ne_bytes(bytes), 9);
    }

    #[test]
    fn nothing_beside_an_element_is_reached() {
        let (_file, array) = array(Access::Read);
        assert_eq!(array.elements(), 3);
        assert!(array.element(2).is_some() && array.element(3).is_none());
        assert!(array.u64_at(2, 16).is_some() && array.u64_at(3, 0).is_none());
        for offset in [17, 24, usize::MAX, 4] {
            assert!(array.u64_at(0, offset).is_none(), "{offset}");
        }
        for offset in [21, 22, 24, usize::MAX - 1] {
            assert!(array.u32_at(2, offset).is_none(), "{offset}");
        }
    }
}
