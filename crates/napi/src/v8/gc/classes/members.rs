//! The stacks of all classes: which stack represents a class, which ones are settled, and what each of these has in the table.
//!
//! ```text
//!   StackState::place   0: in no class;  n + 1: settled, entry n;  REPRESENTATIVE | n: represents class n
//!
//!   entries[n]          ─► the state; its class; its range of the table
//!   classes[n]          ─► representative; members (numbers of entries)
//! ```
//!
//! The clauses **live** and **raw** are those of `stack/state.rs`, **table** is that of `table.rs`.

use std::collections::HashMap;
use std::ops::Range;
use std::ptr::NonNull;

use super::class::Class;
use super::table::Table;
use crate::v8::gc::quiet::Quiet;
use crate::v8::learn::layout::Layout;
use crate::v8::stack::shape::{Shape, View};
use crate::v8::stack::state::StackState;

/// Most classes. A stack with another shape is visited as without classes.
const MOST_CLASSES: usize = 1000;
/// After so many full collections without a member a class is forgotten.
const MOST_IDLE: u8 = 2;

/// See the module.
pub(super) const REPRESENTATIVE: u32 = 1 << 31;

/// What is kept of one settled stack.
#[derive(Clone, Copy)]
struct Entry {
    vm: Option<NonNull<StackState>>,
    start: u32,
    count: u16,
    class: u16,
}

/// See the module.
pub(super) struct Members {
    pub(super) classes: Vec<Class>,
    /// The number of the class with a shape of this hash.
    by_hash: HashMap<u64, u16>,
    free_classes: Vec<u16>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    pub(super) table: Table,
}

impl Members {
    pub(super) fn new(v8: &Layout) -> Members {
        Members {
            classes: Vec::new(),
            by_hash: HashMap::new(),
            free_classes: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            table: Table::new(v8),
        }
    }

    /// The class that has exactly this shape.
    pub(super) fn find(&self, shape: &Shape) -> Option<usize> {
        let class = usize::from(*self.by_hash.get(&shape.hash())?);
        (self.classes[class].shape == *shape).then_some(class)
    }

    /// Makes a class for a shape. `None` where there are too many, or where another one has the same hash.
    pub(super) fn create(&mut self, shape: &Shape) -> Option<usize> {
        let hash = shape.hash();
        if self.by_hash.contains_key(&hash) || self.classes.len() - self.free_classes.len() >= MOST_CLASSES {
            return None;
        }
        let class = Class { shape: shape.clone(), hash, ..Class::default() };
        let number = match self.free_classes.pop() {
            Some(number) => {
                self.classes[usize::from(number)] = class;
                number
            }
            None => {
                self.classes.push(class);
                self.classes.len() as u16 - 1
            }
        };
        self.by_hash.insert(hash, number);
        Some(usize::from(number))
    }

    /// Whether the class is one that was made and not forgotten.
    fn is_in_use(&self, class: usize) -> bool {
        self.classes[class].shape.words() != 0
    }

    fn forget(&mut self, class: usize) {
        let hash = self.classes[class].hash;
        if self.by_hash.get(&hash) == Some(&(class as u16)) {
            self.by_hash.remove(&hash);
        }
        self.classes[class].forget_words(&mut self.table);
        self.classes[class] = Class::default();
        self.free_classes.push(class as u16);
    }

    /// Makes the suspended stack the representative of a class that has none.
    ///
    /// # Safety
    /// The clauses **live** and **raw**.
    pub(super) unsafe fn represent(&mut self, class: usize, vm: NonNull<StackState>) {
        self.classes[class].representative = Some(vm);
        // SAFETY: the caller's clauses.
        unsafe { (*vm.as_ptr()).place = REPRESENTATIVE | class as u32 };
    }

    /// Writes a stack's words to the table. False where that is not possible; then nothing has changed. The caller moves its node.
    ///
    /// # Safety
    /// The clauses **live**, **raw** and **table**; the views are those of the stack and of the class's representative.
    pub(super) unsafe fn settle(
        &mut self,
        class: usize,
        vm: NonNull<StackState>,
        view: View<'_>,
        representative: View<'_>,
    ) -> bool {
        let Some(range) = self.classes[class].add(&mut self.table, view, representative) else {
            return false;
        };
        let entry =
            Entry { vm: Some(vm), start: range.start as u32, count: range.len() as u16, class: class as u16 };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.classes[class].members.push(number);
        self.classes[class].count += 1;
        // SAFETY: the caller's clauses.
        unsafe { (*vm.as_ptr()).place = number + 1 };
        true
    }

    /// The settled stack is a member no more. The caller moves its node.
    ///
    /// # Safety
    /// The clauses **live** and **raw**.
    unsafe fn remove(&mut self, number: u32) -> Option<NonNull<StackState>> {
        let entry = &mut self.entries[number as usize];
        let vm = entry.vm.take()?;
        let (class, range) = (usize::from(entry.class), range_of(entry));
        self.table.clear(range);
        self.free.push(number);
        self.classes[class].count -= 1;
        if self.classes[class].count == 0 {
            self.classes[class].members.clear();
            self.classes[class].forget_words(&mut self.table);
        }
        // SAFETY: the caller's clauses.
        unsafe { (*vm.as_ptr()).place = 0 };
        Some(vm)
    }

    /// A member of the class.
    fn last_member(&mut self, class: usize) -> Option<u32> {
        while let Some(&number) = self.classes[class].members.last() {
            let entry = &self.entries[number as usize];
            if entry.vm.is_some() && usize::from(entry.class) == class {
                return Some(number);
            }
            self.classes[class].members.pop();
        }
        None
    }

    /// One of the members, another one each time; its number and its state.
    pub(super) fn member_in_turn(&self, class: usize, turn: usize) -> Option<(u32, NonNull<StackState>)> {
        let members = &self.classes[class].members;
        let place = |i: usize| members[(turn + i) % members.len()];
        let is_one = |number: u32| {
            let entry = &self.entries[number as usize];
            entry.vm.filter(|_| usize::from(entry.class) == class).map(|vm| (number, vm))
        };
        (0..members.len().min(16)).find_map(|i| is_one(place(i)))
    }

    /// The stack leaves its class: it will run, be borrowed or be abandoned. A member takes the place of a representative, which must
    /// stay visible to V8. The caller moves the node of `vm`.
    ///
    /// # Safety
    /// The clauses **live** and **raw**, outside of collections.
    pub(super) unsafe fn leave(&mut self, quiet: &Quiet, v8: &Layout, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses.
        unsafe {
            let place = std::mem::take(&mut (*vm.as_ptr()).place);
            if place & REPRESENTATIVE == 0 {
                if place != 0 {
                    self.remove(place - 1);
                }
                return;
            }
            let class = (place & !REPRESENTATIVE) as usize;
            self.classes[class].representative = None;
            if let Some(number) = self.last_member(class) {
                // The class's words stay, as other members rely on them.
                let is_last = self.classes[class].count == 1;
                if let Some(next) = self.remove(number) {
                    quiet.unsettle(v8.in_use, next);
                    self.represent(class, next);
                }
                debug_assert!(is_last || self.classes[class].count > 0);
            }
        }
    }

    /// All members leave the class. They stay quiet.
    ///
    /// # Safety
    /// The clauses **live** and **raw**; V8 does not go through its list now.
    pub(super) unsafe fn dissolve(&mut self, quiet: &Quiet, v8: &Layout, class: usize) {
        // SAFETY: the caller's clauses.
        unsafe {
            while let Some(number) = self.last_member(class) {
                if let Some(vm) = self.remove(number) {
                    quiet.unsettle(v8.in_use, vm);
                }
            }
        }
    }

    /// All stacks leave their classes, and the classes are forgotten.
    ///
    /// # Safety
    /// The clauses **live** and **raw**; V8 does not go through its list now.
    pub(super) unsafe fn dissolve_all(&mut self, quiet: &Quiet, v8: &Layout) {
        // SAFETY: the caller's clauses.
        unsafe {
            for class in 0..self.classes.len() {
                self.dissolve(quiet, v8, class);
                if let Some(vm) = self.classes[class].representative.take() {
                    (*vm.as_ptr()).place = 0;
                }
            }
            (self.classes, self.by_hash, self.free_classes) = (Vec::new(), HashMap::new(), Vec::new());
            (self.entries, self.free) = (Vec::new(), Vec::new());
            self.table.reset();
        }
    }

    /// How many stacks are settled.
    pub(super) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The class was given other return addresses.
    pub(super) fn rehash(&mut self, class: usize) {
        let old = self.classes[class].hash;
        if self.by_hash.get(&old) == Some(&(class as u16)) {
            self.by_hash.remove(&old);
        }
        let hash = self.classes[class].shape.hash();
        self.classes[class].hash = hash;
        self.by_hash.entry(hash).or_insert(class as u16);
    }

    /// Forgets classes of which no stack is left, and those that have been without members for some time.
    ///
    /// # Safety
    /// The clauses **live** and **raw**.
    pub(super) unsafe fn forget_idle(&mut self) {
        for class in 0..self.classes.len() {
            if !self.is_in_use(class) {
                continue;
            }
            let here = &mut self.classes[class];
            here.idle = if here.count == 0 { here.idle + 1 } else { 0 };
            if here.count > 0 || here.representative.is_some() && here.idle <= MOST_IDLE {
                continue;
            }
            if let Some(vm) = here.representative.take() {
                // SAFETY: the caller's clauses.
                unsafe { (*vm.as_ptr()).place = 0 };
            }
            self.forget(class);
        }
    }

    /// Forgets classes without a representative.
    pub(super) fn forget_unrepresented(&mut self) {
        for class in self.numbers() {
            if self.classes[class].representative.is_none() {
                self.forget(class);
            }
        }
    }

    /// The state of a settled stack.
    pub(super) fn state(&self, number: u32) -> NonNull<StackState> {
        self.entries[number as usize].vm.expect("it is settled")
    }

    /// The numbers of all classes in use.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        let used: Vec<usize> = (0..self.classes.len()).filter(|&class| self.is_in_use(class)).collect();
        used.into_iter()
    }

    /// All settled stacks: number, state, class, range of the table.
    pub(super) fn each(&self) -> impl Iterator<Item = (u32, NonNull<StackState>, usize, Range<usize>)> + '_ {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| Some((i as u32, entry.vm?, usize::from(entry.class), range_of(entry))))
    }

    /// The range of the table that a settled stack has.
    pub(super) fn range(&self, number: u32) -> Range<usize> {
        range_of(&self.entries[number as usize])
    }

    /// Makes the table and the lists of members as short as they can be.
    pub(super) fn compact(&mut self) {
        for number in 0..self.classes.len() {
            let class = &mut self.classes[number];
            if class.members.len() > 2 * class.count + 64 {
                class.members.sort_unstable();
                class.members.dedup();
                let entries = &self.entries;
                class.members.retain(|&member| {
                    let entry = &entries[member as usize];
                    entry.vm.is_some() && usize::from(entry.class) == number
                });
            }
        }
        if !self.table.is_sparse() {
            return;
        }
        let mut own: Vec<(u32, Range<usize>)> =
            self.each().map(|(number, _, _, range)| (number, range)).collect();
        let mut ranges: Vec<&mut Range<usize>> = self
            .classes
            .iter_mut()
            .map(|class| &mut class.range)
            .chain(own.iter_mut().map(|(_, range)| range))
            .collect();
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        self.table.compact(ranges.into_iter());
        for (number, range) in own {
            self.entries[number as usize].start = range.start as u32;
        }
    }
}

fn range_of(entry: &Entry) -> Range<usize> {
    let start = entry.start as usize;
    start..start + usize::from(entry.count)
}
