//! The part of a host that the registry and the slots need.
//!
//! [`Host`](crate::raw::Host) names [`Thread`](crate::raw::Thread), which owns the registry and the slots. So that these do not import the
//! thread in turn, they use this smaller trait. Every `Host` implements it; see `host.rs`.

use std::ptr::NonNull;

use crate::fiber::bounds::StackBounds;
use crate::raw::relocation::Relocation;
use crate::raw::unread::Unread;

/// The types and the functions of a [`Host`](crate::raw::Host) that do not mention the thread.
pub(crate) trait StackHost: Sized + 'static {
    /// As `Host::ABOVE_BASE`.
    const ABOVE_BASE: usize;
    /// As `Host::VmState`.
    type VmState: 'static;
    /// As `Host::Body`.
    type Body: 'static;
    /// What a stack names when its function has returned: [`Next`](crate::raw::Next).
    type Next: 'static;

    /// As `Host::live_end`.
    ///
    /// # Safety
    /// `vm` is parked and its stack, `stack`, is in its slot.
    unsafe fn live_end(&self, vm: NonNull<Self::VmState>, stack: StackBounds) -> usize;

    /// As `Host::unread`.
    ///
    /// # Safety
    /// `vm` is parked and its stack, `stack`, is in its slot; its live bytes begin at `low`.
    unsafe fn unread(&self, vm: NonNull<Self::VmState>, low: usize, stack: StackBounds) -> Unread;

    /// As `Host::relocate`.
    ///
    /// # Safety
    /// `vm` is parked, and the bytes are where `moved` says.
    unsafe fn relocate(&self, vm: NonNull<Self::VmState>, moved: &Relocation);
}
