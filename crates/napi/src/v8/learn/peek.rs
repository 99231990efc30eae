//! Reading memory that may not be mapped.
//!
//! Learning follows words that look like pointers. The kernel reads the memory for us, so a wrong guess is an error instead of a
//! signal: by process_vm_readv(2) on our own process, or, where a sandbox forbids that, by write(2) from the address into a pipe,
//! which fails with EFAULT.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::block::{block_words, object_words};
use super::facts::Facts;
use super::symbols::Isolate;
use crate::unsupported::Unsupported;

/// Addresses below `LOWEST` are never mapped (vm.mmap_min_addr). From `HIGHEST` on they are not in user space: it has 47 bits on
/// x86-64 and 48 bits on AArch64, and a program gets higher addresses only where it asks for them.
const LOWEST: usize = 0x1_0000;
const HIGHEST: usize = if cfg!(target_arch = "aarch64") { 1 << 48 } else { 0x7fff_ffff_f000 };

/// Bytes of the smallest page that there is.
const SMALLEST_PAGE: usize = 4096;

/// Whether a word could be the address of something word-aligned.
pub(crate) fn is_plausible(word: u64) -> bool {
    let word = word as usize;
    (LOWEST..HIGHEST).contains(&word) && word.is_multiple_of(8)
}

/// The halves of words, in the order in which they lie in memory.
pub(crate) fn halves(words: &[u64]) -> Vec<u32> {
    words.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]).collect()
}

/// How the kernel is asked.
enum Method {
    ProcessVm,
    Pipe { read: std::fs::File, write: OwnedFd },
}

/// Reads our own memory without trusting the address.
pub(crate) struct Peek(Method);

impl Peek {
    /// Finds a method that works in this process.
    ///
    /// # Errors
    /// Where both system calls are forbidden.
    pub(crate) fn new() -> Result<Peek, Unsupported> {
        Peek::find_method().map_err(|error| {
            Unsupported::Because(format!(
                "this sandbox forbids a process to read its own memory carefully: {error}"
            ))
        })
    }

    fn find_method() -> io::Result<Peek> {
        let probe = 0x5eed_u64;
        let peek = Peek(Method::ProcessVm);
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
        // SAFETY: the array has space for the two descriptors that pipe2(2) writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: pipe2 has succeeded, so both descriptors are open, and nothing else owns them.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        Ok(Peek(Method::Pipe { read: read.into(), write }))
    }

    /// `count` words at `address`, or `None` where not all of them can be read.
    pub(crate) fn words(&self, address: usize, count: usize) -> Option<Vec<u64>> {
        if !(LOWEST..HIGHEST).contains(&address) {
            return None;
        }
        let mut words = vec![0u64; count];
        self.fill(address, &mut words).then_some(words)
    }

    /// `count` words at `address`, or `None` where none can be read. Behind the last page that can be read there are zeros: whatever is
    /// searched may be smaller than `count` words and lie at the end of a mapping. musl's allocator has many small mappings.
    pub(crate) fn padded(&self, address: usize, count: usize) -> Option<Vec<u64>> {
        if let Some(words) = self.words(address, count) {
            return Some(words);
        }
        if !(LOWEST..HIGHEST).contains(&address) {
            return None;
        }
        let (mut words, mut read) = (vec![0; count], 0);
        while read < count {
            let from = address + read * 8;
            let in_page = ((SMALLEST_PAGE - from % SMALLEST_PAGE) / 8).clamp(1, count - read);
            if !self.fill(from, &mut words[read..][..in_page]) {
                break;
            }
            read += in_page;
        }
        words[read..].fill(0);
        (read > 0).then_some(words)
    }

    /// One word.
    pub(crate) fn word(&self, address: usize) -> Option<u64> {
        self.words(address, 1).map(|words| words[0])
    }

    /// As many words as can be read from `address` on, up to `max`. Where not all of them can be read, it reads `step` words at a
    /// time.
    pub(crate) fn prefix(&self, address: usize, max: usize, step: usize) -> Vec<u64> {
        if let Some(all) = self.words(address, max) {
            return all;
        }
        let mut all = Vec::with_capacity(max);
        while all.len() < max {
            match self.words(address + all.len() * 8, step) {
                Some(words) => all.extend(words),
                None => break,
            }
        }
        all
    }

    /// All words of an isolate. `Facts::isolate_words` is rounded up: where malloc does not say where the isolate ends, it is some of
    /// what lies behind it, too.
    pub(crate) fn isolate(&self, isolate: Isolate, facts: &Facts) -> Vec<u64> {
        let at = isolate as usize;
        let words = object_words(self.block_words(at), facts.isolate_words, Facts::ISOLATE_SLACK);
        self.prefix(at, words, 64)
    }

    /// How many words the block at `address` has, where malloc says so.
    pub(crate) fn block_words(&self, address: usize) -> Option<usize> {
        block_words(address, |at| self.word(at))
    }

    /// Reads `count` words at each of the sorted `addresses`, and calls `see` with each address that could be read ([`Peek::padded`]).
    /// Neighbouring addresses are read together: thousands of small reads would take tens of milliseconds.
    pub(crate) fn each(&self, addresses: &[usize], count: usize, mut see: impl FnMut(usize, &[u64])) {
        let near = |a: &usize, b: &usize| b - a <= count * 8 + Self::MAX_GAP;
        for group in addresses.chunk_by(near) {
            let (first, last) = (group[0], group[group.len() - 1]);
            if let Some(words) = self.words(first, (last - first) / 8 + count) {
                for at in group {
                    see(*at, &words[(at - first) / 8..][..count]);
                }
                continue;
            }
            for &at in group {
                if let Some(words) = self.padded(at, count) {
                    see(at, &words);
                }
            }
        }
    }

    /// Where the gap between two addresses has at most this many bytes, they are read together.
    const MAX_GAP: usize = 4096;

    /// Fills `words` from `address`. Returns whether all of them could be read.
    fn fill(&self, address: usize, words: &mut [u64]) -> bool {
        let bytes = size_of_val(words);
        match &self.0 {
            Method::ProcessVm => {
                let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: bytes };
                let remote = libc::iovec { iov_base: address as *mut _, iov_len: bytes };
                // SAFETY: the local buffer is `words`, `bytes` long. The kernel checks the remote address.
                let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
                read == bytes as isize
            }
            Method::Pipe { read, write } => {
                // A pipe holds at least one page without blocking (pipe(7)).
                words.chunks_mut(512).enumerate().all(|(i, chunk)| {
                    let bytes = size_of_val(chunk);
                    // SAFETY: the kernel checks the source address (EFAULT).
                    let sent =
                        unsafe { libc::write(write.as_raw_fd(), (address + i * 4096) as *const _, bytes) };
                    // SAFETY: the slice covers exactly the chunk, and any bytes are valid words.
                    let target =
                        unsafe { std::slice::from_raw_parts_mut(chunk.as_mut_ptr().cast::<u8>(), bytes) };
                    let sent = usize::try_from(sent).unwrap_or(0);
                    (&*read).read_exact(&mut target[..sent]).is_ok() && sent == bytes
                })
            }
        }
    }
}
