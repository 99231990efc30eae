//! The two ends of a full collection, and of the start of incremental marking, which visits all stacks too but moves nothing.
//!
//! ```text
//!   before: take new return addresses ─ settle new stacks ─ keep the table ─ leave witnesses ─ cut the settled ones off
//!                                            V8 collects
//!   after:  put them back ─ compare the witnesses ─ write what has moved into the settled ones
//! ```
//!
//! The clauses **ends**, **member** and **words** are those of `mod.rs`.

use std::ops::Range;
use std::ptr::NonNull;

use super::members::Members;
use super::{Around, Classes, plain_view, view};
use crate::settings::ClassUse;
use crate::v8::gc::greenlets::Greenlets;
use crate::v8::gc::quiet::suspended;
use crate::v8::learn::facts::MAX_ARCHIVE_WORDS;
use crate::v8::learn::frame_words::Frames;
use crate::v8::stack::shape::{Shape, View, may_be_object};
use crate::v8::stack::state::{QUIET, StackState, image};

/// Between the two ends.
#[derive(Default)]
pub(super) struct Window {
    /// Whether the settled stacks were cut off, or would have been.
    is_open: bool,
    /// Settled stacks that V8 visits, with their words before.
    witnesses: Vec<Witness>,
    /// Counts full collections.
    turn: usize,
}

struct Witness {
    number: u32,
    vm: NonNull<StackState>,
    class: usize,
    live: Vec<u64>,
    image: [u64; MAX_ARCHIVE_WORDS],
}

/// Why classes are not used after a wrong prediction.
const WRONG: &str = "a full collection changed a stack otherwise than its class foretold";
const CHANGED: &str = "a word of a settled stack has changed while it was suspended";

impl Classes {
    /// A full collection begins, or (`moves` is false) the start of incremental marking.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    pub(in crate::v8::gc) unsafe fn before_full(&self, around: Around<'_>, moves: bool) {
        let Some(frames) = self.frames(around.v8) else { return };
        let Around { v8, quiet, roots, greenlets } = around;
        let members = &mut *self.members.borrow_mut();
        let window = &mut *self.window.borrow_mut();
        // SAFETY: the caller's clauses.
        unsafe {
            if !self.may_use(v8, quiet, members) {
                return;
            }
            refresh(members, around);
            settle_all(members, around, frames, moves);
            members.compact();
            members.table.show();
            let young = *roots.of_probe();
            if moves && young != 0 {
                self.probe_classes(v8, members, greenlets, young);
            }
            if members.count() == 0 || moves && !members.table.keep() {
                return;
            }
            window.is_open = true;
            let is_verifying = *self.mode.borrow() == ClassUse::Verify;
            if moves {
                choose_witnesses(window, members, around, is_verifying);
            }
            if !is_verifying {
                quiet.cut_settled(v8.in_use);
            }
        }
    }

    /// It ends.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    pub(in crate::v8::gc) unsafe fn after_full(&self, around: Around<'_>, moves: bool) {
        let Some(frames) = self.frames(around.v8) else { return };
        let Around { v8, quiet, roots, greenlets } = around;
        let members = &mut *self.members.borrow_mut();
        let window = &mut *self.window.borrow_mut();
        // SAFETY: the caller's clauses.
        unsafe {
            if std::mem::take(&mut window.is_open) {
                let is_verifying = *self.mode.borrow() == ClassUse::Verify;
                quiet.splice(v8.in_use);
                if moves {
                    take_pcs(members, greenlets);
                    let seen: Vec<u32> = window.witnesses.iter().map(|witness| witness.number).collect();
                    let mut fault = compare_witnesses(window, members, greenlets).err();
                    if !is_verifying {
                        seen.iter().for_each(|&number| quiet.settle(v8.in_use, members.state(number)));
                        fault = write_back(members, greenlets, &seen).err().or(fault);
                    }
                    if let Some(reason) = fault {
                        self.turn_off(v8, quiet, members, reason);
                    }
                }
            }
            if !moves {
                return;
            }
            match self.learn(roots, members) {
                Ok(true) if self.is_on.get() => settle_all(members, around, frames, true),
                Ok(_) => {}
                Err(reason) => self.turn_off(v8, quiet, members, reason),
            }
            members.forget_idle();
            members.table.show();
            // Young space is empty now, so this allocates without a collection.
            let is_unknown = |class: usize| members.classes[class].is_unlearnt();
            if self.is_on.get() && members.numbers().any(is_unknown) {
                self.make_young(v8, roots);
            }
        }
    }
}

/// Takes return addresses that have changed since the last full collection. Dissolves classes with words of their own that their
/// representative has no more, and takes members out of which the bytecode has changed.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn refresh(members: &mut Members, around: Around<'_>) {
    let Around { v8, quiet, greenlets, .. } = around;
    // SAFETY: the caller's clauses.
    unsafe {
        take_pcs(members, greenlets);
        for class in members.numbers() {
            let here = &members.classes[class];
            let view = here.representative.and_then(|vm| view(greenlets, vm));
            if view.is_none_or(|view| !here.is_held_by(&members.table, view)) {
                members.dissolve(quiet, v8, class);
            }
        }
        if members.numbers().any(|class| members.classes[class].has_own_code) {
            let has_changed = |(_, vm, class, own): &(u32, NonNull<StackState>, usize, Range<usize>)| {
                let here = &members.classes[*class];
                let is_known = |view| here.has_known_code(&members.table, own.clone(), view);
                here.has_own_code && !view(greenlets, *vm).is_some_and(is_known)
            };
            let changed: Vec<_> = members.each().filter(has_changed).map(|(_, vm, ..)| vm).collect();
            for vm in changed {
                members.leave(quiet, v8, vm);
                quiet.unsettle(v8.in_use, vm);
            }
        }
    }
}

/// Gives each class the return addresses of its representative.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn take_pcs(members: &mut Members, greenlets: &dyn Greenlets) {
    for class in members.numbers() {
        // SAFETY: the caller's clauses.
        let view = members.classes[class].representative.and_then(|vm| unsafe { view(greenlets, vm) });
        let has_new = view.is_some_and(|view| members.classes[class].shape.take_pcs(view.live));
        members.classes[class].has_new_pcs = has_new;
        if has_new {
            members.rehash(class);
        }
    }
}

/// Settles each stack that has a class, and makes classes of those that have none. Where nothing moves, only quiet stacks settle,
/// because others may have young objects, and a scavenge may come next.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn settle_all(members: &mut Members, around: Around<'_>, frames: &Frames, moves: bool) {
    let Around { v8, quiet, roots, greenlets } = around;
    let (mut shape, mut last) = (Shape::default(), None);
    // SAFETY: the caller's clauses. A node that settles becomes the last one, so the next one is read before.
    unsafe {
        let mut node = (*v8.in_use).next;
        // The settled ones are the list's end, also those that settle now.
        while node != v8.in_use && node != quiet.first_settled(v8.in_use) {
            let next = (*node).next;
            if let Some(vm) = suspended(roots, node)
                && (*vm.as_ptr()).place == 0
                && (moves || (*vm.as_ptr()).unusual & QUIET != 0)
                && let Some(view) = plain_view(v8, greenlets, vm)
            {
                settle(members, around, frames, vm, view, &mut shape, &mut last);
            }
            node = next;
        }
    }
}

/// Settles one stack, makes it the representative of its class, or leaves it as it is. `last` is the class of the last one.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn settle(
    members: &mut Members,
    around: Around<'_>,
    frames: &Frames,
    vm: NonNull<StackState>,
    view: View<'_>,
    shape: &mut Shape,
    last: &mut Option<usize>,
) {
    let Around { v8, quiet, greenlets, .. } = around;
    let class = match *last {
        Some(class) if members.classes[class].shape.matches(frames, view) => class,
        _ => {
            if !shape.read(frames, view) {
                return;
            }
            match members.find(shape).or_else(|| members.create(shape)) {
                Some(class) => class,
                None => return,
            }
        }
    };
    *last = Some(class);
    // SAFETY: the caller's clauses.
    unsafe {
        let Some(representative) = members.classes[class].representative else {
            members.represent(class, vm);
            quiet.join_where_new(v8.in_use, vm);
            return;
        };
        members.classes[class].is_wanted = true;
        if !members.classes[class].knows(view) {
            return;
        }
        let Some(representative) = super::view(greenlets, representative) else { return };
        if members.settle(class, vm, view, representative) {
            if let Some(visited) = &members.classes[class].visited {
                for &word in &visited.image_cleared {
                    *image(vm).add(word as usize) = 0;
                }
            }
            quiet.settle(v8.in_use, vm);
        }
    }
}

/// Leaves one member of each class, or all of them, in V8's list, and keeps their words.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn choose_witnesses(window: &mut Window, members: &mut Members, around: Around<'_>, all: bool) {
    let Around { v8, quiet, greenlets, .. } = around;
    window.turn = window.turn.wrapping_add(1);
    window.witnesses.clear();
    let mut chosen: Vec<_> = if all {
        members.each().map(|(number, vm, class, _)| (number, vm, class)).collect()
    } else {
        let one = |class| {
            let (number, vm) = members.member_in_turn(class, window.turn)?;
            Some((number, vm, class))
        };
        members.numbers().filter_map(one).collect()
    };
    chosen.sort_unstable_by_key(|&(number, ..)| number);
    for (number, vm, class) in chosen {
        // SAFETY: the caller's clauses.
        unsafe {
            let Some(view) = view(greenlets, vm) else { continue };
            let mut image = [0; MAX_ARCHIVE_WORDS];
            image.copy_from_slice(view.image);
            window.witnesses.push(Witness { number, vm, class, live: view.live.to_vec(), image });
            if !all {
                quiet.unsettle(v8.in_use, vm);
            }
        }
    }
}

/// Compares each word of the witnesses with what the table foretells.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn compare_witnesses(
    window: &mut Window,
    members: &Members,
    greenlets: &dyn Greenlets,
) -> Result<(), &'static str> {
    let mut result = Ok(());
    for mut witness in window.witnesses.drain(..) {
        let class = &members.classes[witness.class];
        let before = View { image: &witness.image, live: &witness.live, first_block: 0 };
        let mut expected = Vec::new();
        let own = members.range(witness.number);
        let foretold = class.each_new_word(&members.table, own, before, |word, in_image, new| {
            expected.push((word, in_image, new));
        });
        // The prediction that nothing moves.
        #[cfg(feature = "faults")]
        if crate::v8::learn::fault::is("classes") {
            expected.clear();
        }
        for (word, in_image, new) in expected {
            (if in_image { &mut witness.image[word] } else { &mut witness.live[word] }).clone_from(&new);
        }
        // SAFETY: the caller's clauses: V8 has visited the stack and is done with it.
        unsafe {
            let representative = class.representative.and_then(|vm| view(greenlets, vm));
            let now = view(greenlets, witness.vm);
            let (Some(now), Some(representative)) = (now, representative) else { continue };
            for pc in class.shape.pcs() {
                witness.live[pc] = representative.live[pc];
            }
            if foretold.is_err() || !agree(&witness.live, now.live) || !agree(&witness.image, now.image) {
                result = Err(WRONG);
            }
        }
    }
    result
}

/// Whether the words are those that were foretold. A word that V8 does not visit may become something else than an object: the collector
/// calls objects on stacks, which clear what they remember (`learn/epilogue_callbacks.rs`).
fn agree(foretold: &[u64], now: &[u64]) -> bool {
    foretold.iter().zip(now).all(|(foretold, now)| foretold == now || !may_be_object(*now))
}

/// Writes what has moved into the settled stacks, but for those that V8 has `seen`: in increasing order.
///
/// # Safety
/// The contract's clauses **member** and **words**.
unsafe fn write_back(members: &Members, greenlets: &dyn Greenlets, seen: &[u32]) -> Result<(), &'static str> {
    let have_moved: Vec<bool> =
        members.classes.iter().map(|class| class.has_new_pcs || class.has_moved(&members.table)).collect();
    let (mut new, mut result) = (Vec::new(), Ok(()));
    for (number, vm, class, own) in members.each() {
        if !have_moved[class] && members.table.words(own.clone()) == members.table.before(own.clone()) {
            continue;
        }
        if seen.binary_search(&number).is_ok() {
            continue;
        }
        let class = &members.classes[class];
        new.clear();
        // SAFETY: the caller's clauses. The view's last use is before the words are written.
        unsafe {
            let Some(view_before) = view(greenlets, vm) else { continue };
            let start = view_before.live.as_ptr().cast_mut();
            let mapped = class.each_new_word(&members.table, own, view_before, |word, in_image, word_now| {
                new.push((word, in_image, word_now));
            });
            if mapped.is_err() {
                result = Err(CHANGED);
            }
            for &(word, in_image, now) in &new {
                *(if in_image { image(vm).add(word) } else { start.add(word) }) = now;
            }
            if class.has_new_pcs
                && let Some(representative) = class.representative.and_then(|vm| view(greenlets, vm))
            {
                for pc in class.shape.pcs() {
                    *start.add(pc) = representative.live[pc];
                }
            }
        }
    }
    result
}
