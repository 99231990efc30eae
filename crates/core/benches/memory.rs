//! The memory of a suspended greenlet of the core: the growth of the process, everything counted, divided by their number.
//! `cargo bench --bench memory [-- how many]`

use std::error::Error;
use std::fs::read_to_string;

use greenlets_core::raw::{Body, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Options, Spilling};

const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    // SAFETY: no code uses the contents of these stacks while they are suspended.
    let options = unsafe { Options::default().spilling(Spilling::WhenNeeded) };
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    let thread = unsafe { Thread::new(NullHost, StackBounds::of_this_thread()?, options) }?;
    let before = resident()?;
    for _ in 0..count {
        let body = Body::new(|thread| {
            thread.switch(Next::Resume(thread.main())).expect("main can always be switched to");
            Next::Resume(thread.main())
        });
        thread.switch(Next::Start(body))?;
    }
    assert_eq!(thread.live(), count);
    println!("core: memory, {count} suspended: {} bytes each", (resident()? - before) / count);
    let id = thread.ids()[count];
    println!(
        "{} bytes of each are its stack, {} its copy",
        thread.stack_size(id),
        thread.spilled_bytes() / thread.spilled().max(1)
    );
    // SAFETY: main runs, and no code relies on the frames of the suspended stacks.
    unsafe { thread.abandon_all() };
    Ok(())
}

/// Bytes of the process that are in memory.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).ok_or("no second number")?.parse::<usize>()? * PAGE)
}
