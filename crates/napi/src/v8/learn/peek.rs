//! Reading memory that may not be there.
//!
//! Learning follows words that look like pointers. Each is read by the kernel on our behalf, so that a wrong guess is an
//! error instead of a signal: process_vm_readv(2) on ourselves, or, where a sandbox forbids that, write(2) from the address
//! into a pipe, which fails with EFAULT.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Addresses below this are never mapped (vm.mmap_min_addr), above they are not user space (x86-64, arm64 with 48 bits).
const LOWEST: usize = 0x1_0000;
const HIGHEST: usize = 0x7fff_ffff_f000;

/// Whether a word could be the address of something word-aligned.
pub(crate) fn is_plausible(word: u64) -> bool {
    let word = word as usize;
    (LOWEST..HIGHEST).contains(&word) && word.is_multiple_of(8)
}

enum Way {
    ProcessVm,
    Pipe { read: std::fs::File, write: OwnedFd },
}

/// A way to read our own memory without trusting the address.
pub(crate) struct Peek(Way);

impl Peek {
    /// Finds a way that works here.
    ///
    /// # Errors
    /// Where both system calls are forbidden.
    pub(crate) fn new() -> io::Result<Peek> {
        let probe = 0x5eed_u64;
        let peek = Peek(Way::ProcessVm);
        let works = peek.words(&raw const probe as usize, 1).is_some_and(|words| words[0] == probe);
        #[cfg(feature = "faults")]
        let works = works && !super::fault::is("pipe") && !super::fault::is("peek");
        if works {
            return Ok(peek);
        }
        let mut ends = [0; 2];
        #[cfg(feature = "faults")]
        if super::fault::is("peek") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // SAFETY: the array has room for the two descriptors pipe2(2) writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: pipe2 succeeded, so both are open and nobody else owns them.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        Ok(Peek(Way::Pipe { read: read.into(), write }))
    }

    /// `count` words at `address`, or `None` where not all of them can be read.
    pub(crate) fn words(&self, address: usize, count: usize) -> Option<Vec<u64>> {
        if !(LOWEST..HIGHEST).contains(&address) {
            return None;
        }
        let mut words = vec![0u64; count];
        self.fill(address, &mut words).then_some(words)
    }

    /// One word.
    pub(crate) fn word(&self, address: usize) -> Option<u64> {
        self.words(address, 1).map(|words| words[0])
    }

    /// As many words as can be read from `address` on, in steps of `step`, up to `most`.
    pub(crate) fn prefix(&self, address: usize, most: usize, step: usize) -> Vec<u64> {
        if let Some(all) = self.words(address, most) {
            return all;
        }
        let mut all = Vec::with_capacity(most);
        while all.len() < most {
            match self.words(address + all.len() * 8, step) {
                Some(words) => all.extend(words),
                None => break,
            }
        }
        all
    }

    /// Reads `count` words at each of the sorted `addresses` and hands those that could be read to `see`. Neighbours are
    /// read at once: thousands of small reads would take tens of milliseconds.
    pub(crate) fn each(&self, addresses: &[usize], count: usize, mut see: impl FnMut(usize, &[u64])) {
        let near = |a: &usize, b: &usize| b - a <= count * 8 + Self::NEAR;
        for group in addresses.chunk_by(near) {
            let (first, last) = (group[0], group[group.len() - 1]);
            if let Some(words) = self.words(first, (last - first) / 8 + count) {
                for at in group {
                    see(*at, &words[(at - first) / 8..][..count]);
                }
                continue;
            }
            for &at in group {
                if let Some(words) = self.words(at, count) {
                    see(at, &words);
                }
            }
        }
    }

    /// Bytes between two addresses that are read along rather than apart.
    const NEAR: usize = 4096;

    fn fill(&self, address: usize, words: &mut [u64]) -> bool {
        let bytes = size_of_val(words);
        match &self.0 {
            Way::ProcessVm => {
                let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: bytes };
                let remote = libc::iovec { iov_base: address as *mut _, iov_len: bytes };
                // SAFETY: the local buffer is ours and `bytes` long; the remote one is read by the kernel, which checks it.
                let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
                read == bytes as isize
            }
            Way::Pipe { read, write } => {
                // A pipe holds at least one page without blocking (pipe(7)).
                words.chunks_mut(512).enumerate().all(|(i, chunk)| {
                    let bytes = size_of_val(chunk);
                    // SAFETY: the kernel reads the source and checks it (EFAULT).
                    let sent =
                        unsafe { libc::write(write.as_raw_fd(), (address + i * 4096) as *const _, bytes) };
                    // SAFETY: any bytes are valid words; the slice covers exactly the chunk.
                    let target =
                        unsafe { std::slice::from_raw_parts_mut(chunk.as_mut_ptr().cast::<u8>(), bytes) };
                    let sent = usize::try_from(sent).unwrap_or(0);
                    (&*read).read_exact(&mut target[..sent]).is_ok() && sent == bytes
                })
            }
        }
    }
}
