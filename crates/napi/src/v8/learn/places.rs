//! Says where in an isolate a layout was found, for the next isolates of the process (`known.rs`).

use super::epilogue_callbacks::lead_of;
use super::known::Known;
use super::layout::Layout;
use super::peek::is_plausible;
use super::session::Session;
use super::{debugger, heap_stack_start};

/// The places of `layout`, which was learnt in this session.
pub(super) fn places_of(session: &Session<'_>, layout: &Layout) -> Known {
    let isolate = session.isolate as usize;
    let index = |word: *const u64| (word as usize - isolate) / 8;
    // All objects outside of the isolate, and how far before the address an object may begin.
    let mut found = vec![
        (layout.thread_manager as usize, 0),
        (layout.handle_scope_implementer as usize, 0),
        (layout.debugger.0 as usize, debugger::REACH),
    ];
    found.extend(layout.epilogue_callbacks.map(|callbacks| lead_of(callbacks, session.facts)));
    found.extend(layout.heap_stack_starts.map(|start| (start as usize, heap_stack_start::REACH)));
    let leads = |word: usize| found.iter().any(|&(at, reach)| (at - reach..=at).contains(&word));
    Known {
        leads: (0..session.words.len())
            .filter(|&i| is_plausible(session.words[i]) && leads(session.words[i] as usize))
            .collect(),
        list: index(layout.joins.list),
        next: layout.joins.next,
        join_stack: layout.joins.stack,
        formatting: layout.formatting.0 as usize - isolate,
    }
}
