//! Native stacks: their depth, the error when there are no more, and that they are used again. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use std::hint::black_box;

use common::{BuildHere, as_int, code, int, new_greenlet, nothing, on_a_thread, pause, times};
use greenlets_core::raw::{NullHost, StackBounds, Thread};
use greenlets_core::{Error, Greenlet, Options, SLOT_SIZE, Spilling, State, Vacated, configure, unpack};

/// What happens with an older kernel, which seccomp imitates in a process of its own.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod on_an_old_kernel {
    use common::{in_a_process, signal, stdout};
    use greenlets_core::raw::{Body, GuardKind, Next};

    use super::*;

    /// From now on `MADV_GUARD_INSTALL` fails with EINVAL in this process, as it does before Linux 6.13.
    fn begin() {
        const GUARD_INSTALL: u32 = 102;
        // Offsets in `struct seccomp_data`: the system call, and the lower half of its third argument.
        let [number, advice] = [0, 32];
        let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let answer = (libc::BPF_RET | libc::BPF_K) as u16;
        // SAFETY: the functions of libc only make structures. The filter outlives the calls, which copy it.
        let status = unsafe {
            let mut filter = [
                libc::BPF_STMT(load, number),
                libc::BPF_JUMP(equal, libc::SYS_madvise as u32, 0, 3),
                libc::BPF_STMT(load, advice),
                libc::BPF_JUMP(equal, GUARD_INSTALL, 0, 1),
                libc::BPF_STMT(answer, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
                libc::BPF_STMT(answer, libc::SECCOMP_RET_ALLOW),
            ];
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    }

    fn park(thread: &Thread<NullHost>) {
        let body = Body::new(|thread| {
            thread.switch(Next::Resume(thread.main())).unwrap();
            Next::Resume(thread.main())
        });
        thread.switch(Next::Start(body)).unwrap();
    }

    #[test]
    fn stacks_are_still_guarded() {
        let output = in_a_process("on_an_old_kernel::stacks_are_still_guarded", || {
            begin();
            // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
            let thread =
                unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), Options::slots(2)) };
            let thread = thread.unwrap();
            // The slot below is in use: without a guard the overflow would run into it unnoticed.
            park(&thread);
            assert_eq!(thread.guard_kind(), GuardKind::Protected);
            println!("digging");
            let body = Body::new(|thread| {
                let top = 0_u8;
                dig(black_box(&raw const top as usize), thread.bounds().size() + 64 * 1024, &|| {});
                Next::Resume(thread.main())
            });
            thread.switch(Next::Start(body)).unwrap();
            println!("survived");
        });
        assert_eq!(signal(&output), Some(libc::SIGSEGV), "{output:?}");
        assert_eq!(stdout(&output).matches("digging\n").count(), 1, "{output:?}");
        assert!(!stdout(&output).contains("survived"), "{output:?}");
    }

    #[test]
    fn guards_leave_mappings_for_the_rest_of_the_program() {
        const SLOTS: u32 = 40_000;
        let output =
            in_a_process("on_an_old_kernel::guards_leave_mappings_for_the_rest_of_the_program", || {
                begin();
                let here = StackBounds::of_this_thread().unwrap();
                // SAFETY: no code uses the contents of these stacks while they are suspended.
                let options = unsafe { Options::slots(SLOTS).spilling(Spilling::WhenNeeded) };
                // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
                let many = unsafe { Thread::new(NullHost, here, options) }.unwrap();
                for _ in 0..SLOTS {
                    park(&many);
                }
                println!("{} live, {} spilled", many.live(), many.spilled());
                for id in many.ids().into_iter().skip(1).step_by(100) {
                    many.switch(Next::Resume(id)).unwrap();
                }
                println!("{} live", many.live());
                // Unmapping 40,000 slots is slow in a debug build.
                std::mem::forget(many);

                // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
                let one_more = unsafe { Thread::new(NullHost, here, Options::slots(1)) };
                println!("{}", one_more.err().unwrap());
            });
        let printed = stdout(&output);
        assert!(printed.contains("40000 live, 23616 spilled\n39600 live\nout of memory"), "{output:?}");
    }

    #[test]
    fn a_thread_that_has_gone_counts_no_guards_any_more() {
        let output =
            in_a_process("on_an_old_kernel::a_thread_that_has_gone_counts_no_guards_any_more", || {
                begin();
                let here = StackBounds::of_this_thread().unwrap();
                // More than there may be at once.
                for _ in 0..17_000 {
                    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
                    unsafe { Thread::new(NullHost, here, Options::slots(1)) }.unwrap();
                }
                println!("made them all");
            });
        assert!(stdout(&output).contains("made them all"), "{output:?}");
    }
}

fn waiting() -> Greenlet {
    let greenlet = new_greenlet(|_| pause());
    greenlet.switch(nothing()).unwrap();
    greenlet
}

#[test]
fn running_out_of_slots_is_an_error_that_gives_the_value_back() {
    for slots in 1..=3 {
        on_a_thread(move || {
            configure(Options::slots(slots)).unwrap();
            let mut full: Vec<_> = (0..slots).map(|_| waiting()).collect();
            let one_more = Greenlet::builder().name("one more").build_here(Ok).unwrap();
            for _ in 0..3 {
                let error = one_more.switch(Box::new("the value")).unwrap_err().downcast::<Error>().unwrap();
                assert_eq!(error.code(), "ERR_GREENLET_NO_SLOT");
                let text = error.to_string();
                assert!(text.contains("'one more'") && text.contains(&format!("all {slots} ")), "{text}");
                assert_eq!(unpack::<&str>(error.into_value().unwrap()).unwrap(), "the value");
                assert_eq!(one_more.state(), State::Unstarted);
                assert_eq!(Greenlet::current(), Greenlet::main());
            }
            // The greenlets that have started go on, and when one has ended there is a free slot.
            assert_eq!(as_int(full.pop().unwrap().switch(int(1))), 1);
            assert_eq!(as_int(one_more.switch(int(2))), 2);
            for greenlet in full {
                assert_eq!(as_int(greenlet.switch(int(3))), 3);
            }
        });
    }
}

#[test]
fn running_out_of_slots_inside_a_greenlet_is_an_error_there() {
    on_a_thread(|| {
        configure(Options::slots(1)).unwrap();
        let greenlet = new_greenlet(|_| {
            let child = new_greenlet(Ok);
            assert_eq!(code(child.switch(nothing())), "ERR_GREENLET_NO_SLOT");
            assert_eq!(Greenlet::current().state(), State::Running);
            Ok(Box::new(child))
        });
        let child = unpack::<Greenlet>(greenlet.switch(nothing()).unwrap()).unwrap();
        assert_eq!(as_int(child.switch(int(4))), 4);
    });
}

#[test]
fn a_greenlet_that_ends_hands_its_slot_to_the_parent_it_starts() {
    on_a_thread(|| {
        configure(Options::slots(1)).unwrap();
        let parent = new_greenlet(Ok);
        let child = Greenlet::builder().parent(&parent).build_here(Ok).unwrap();
        assert_eq!(as_int(child.switch(int(6))), 6);
    });
}

#[test]
fn one_slot_is_enough_for_any_number_of_greenlets_one_after_the_other() {
    on_a_thread(|| {
        configure(Options::slots(1)).unwrap();
        for i in 0..times(1000, 20) as i32 {
            let greenlet = new_greenlet(Ok);
            assert_eq!(as_int(greenlet.switch(int(i))), i);
        }
    });
}

#[test]
fn killing_a_greenlet_frees_its_slot() {
    on_a_thread(|| {
        configure(Options::slots(1)).unwrap();
        let first = waiting();
        let second = new_greenlet(Ok);
        assert_eq!(code(second.switch(nothing())), "ERR_GREENLET_NO_SLOT");
        first.kill().unwrap();
        assert_eq!(as_int(second.switch(int(2))), 2);
    });
}

#[test]
fn the_number_of_slots_is_fixed_once_a_greenlet_has_started() {
    on_a_thread(|| {
        assert_eq!(code(configure(Options::slots(0))), "ERR_GREENLET_INVALID_ARG");
        configure(Options::slots(5)).unwrap();
        let greenlet = new_greenlet(Ok);
        configure(Options::slots(2)).unwrap();
        greenlet.switch(nothing()).unwrap();
        let error = configure(Options::slots(9)).unwrap_err();
        assert_eq!(error.code(), "ERR_GREENLET_SLOTS_IN_USE");
        assert!(error.to_string().contains("has 2 stack slots"), "{error}");
    });
}

#[test]
fn more_slots_than_there_is_address_space_are_refused_when_they_are_needed() {
    on_a_thread(|| {
        configure(Options::slots(u32::MAX)).unwrap();
        let greenlet = Greenlet::builder().name("first").build_here(Ok).unwrap();
        let error = greenlet.switch(int(5)).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!(error.code(), "ERR_GREENLET_NO_MEMORY");
        assert!(error.to_string().contains("'first'"), "{error}");
        assert_eq!(unpack::<i32>(error.into_value().unwrap()).unwrap(), 5);
        configure(Options::slots(1)).unwrap();
        assert_eq!(as_int(greenlet.switch(int(6))), 6, "it can still be started");
    });
}

/// Recurses until `depth` bytes of stack lie between `top` and here, runs `bottom` there, and checks on the way back that every
/// frame is as it was left. Returns the number of frames.
fn dig(top: usize, depth: usize, bottom: &dyn Fn()) -> usize {
    let block = black_box([top; 32]);
    let here = block.as_ptr() as usize;
    let below = if top - here < depth {
        dig(top, depth, bottom)
    } else {
        bottom();
        0
    };
    assert!(black_box(&block).iter().all(|word| *word == top));
    below + 1
}

fn dig_from_here(depth: usize, bottom: &dyn Fn()) -> usize {
    let top = 0_u8;
    dig(black_box(&raw const top as usize), depth, bottom)
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn a_greenlet_can_recurse_through_500_kib() {
    // The aim is the depth of Node's main stack, which has 984 KiB. The frames of a sanitizer are larger.
    const LEAST: usize = if cfg!(feature = "sanitizer") { 100 } else { 500 };
    for kib in [500, 900] {
        let greenlet = new_greenlet(move |_| Ok(Box::new(dig_from_here(kib * 1024, &|| ()))));
        assert!(unpack::<usize>(greenlet.switch(nothing()).unwrap()).unwrap() > LEAST);
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn deep_stacks_keep_their_contents_while_other_stacks_run() {
    let deep = |_| {
        dig_from_here(300 * 1024, &|| {
            pause().unwrap();
        });
        Ok(int(1))
    };
    let greenlets: Vec<_> = (0..20).map(|_| new_greenlet(deep)).collect();
    for greenlet in &greenlets {
        greenlet.switch(nothing()).unwrap();
    }
    for greenlet in greenlets.iter().rev() {
        assert_eq!(as_int(greenlet.switch(nothing())), 1);
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn a_greenlet_is_as_deep_as_the_options_say() {
    // Bytes that are asked for, bytes of a slot, and bytes that are used.
    let rows =
        [(64, 64, 16), (100, 128, 40), (1025, 2048, 1900), (4096, 4096, 4000), (8 << 10, 8 << 10, 7 << 10)];
    for (asked, slot, used) in rows.map(|row| (row.0 << 10, row.1 << 10, row.2 << 10)) {
        on_a_thread(move || {
            configure(Options::slots(3).stack_size(asked)).unwrap();
            let deep = move |_| {
                dig_from_here(used, &|| {
                    pause().unwrap();
                });
                Ok(int(1))
            };
            let greenlets: Vec<_> = (0..3).map(|_| new_greenlet(deep)).collect();
            for greenlet in greenlets.iter().chain(&greenlets) {
                greenlet.switch(nothing()).unwrap();
            }
            assert!(greenlets.iter().all(Greenlet::is_dead));
        });
        let here = StackBounds::of_this_thread().unwrap();
        // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
        let thread = unsafe { Thread::new(NullHost, here, Options::slots(2).stack_size(asked)) }.unwrap();
        assert_eq!(thread.slot_size(), slot);
        thread.configure(Options::slots(2)).unwrap();
        assert_eq!(thread.slot_size(), SLOT_SIZE, "the default is back");
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn deep_stacks_of_any_size_share_slots() {
    let depth = 200 << 10;
    for size in [256 << 10, 512 << 10, 3 << 20, 8 << 20] {
        on_a_thread(move || {
            let options = Options::slots(2).stack_size(size).vacated(Vacated::Filled);
            // SAFETY: nothing on the stack of a suspended greenlet is used from elsewhere.
            configure(unsafe { options.spilling(Spilling::WhenNeeded) }).unwrap();
            let deep = move |_| {
                dig_from_here(depth, &|| {
                    pause().unwrap();
                    pause().unwrap();
                });
                Ok(int(1))
            };
            let greenlets: Vec<_> = (0..7).map(|_| new_greenlet(deep)).collect();
            for greenlet in greenlets.iter().chain(greenlets.iter().rev()).chain(&greenlets) {
                greenlet.switch(nothing()).unwrap();
            }
            assert!(greenlets.iter().all(Greenlet::is_dead));
        });
    }
}

#[test]
fn a_stack_size_that_cannot_be_had_is_refused() {
    for size in [usize::MAX, 1 << 63, 1 << 50] {
        on_a_thread(move || {
            configure(Options::slots(1).stack_size(size)).unwrap();
            let greenlet = new_greenlet(Ok);
            assert_eq!(code(greenlet.switch(int(5))), "ERR_GREENLET_NO_MEMORY");
            configure(Options::slots(1)).unwrap();
            assert_eq!(as_int(greenlet.switch(int(6))), 6, "it can still be started");
        });
    }
}

/// Resident memory of the process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no numbers about the process")]
#[cfg_attr(feature = "sanitizer", ignore = "AddressSanitizer keeps freed memory")]
fn a_hundred_thousand_greenlets_that_end_do_not_grow_the_process() {
    // Row 145.
    on_a_thread(|| {
        let start_and_end = |count: i32| {
            for i in 0..count {
                let greenlet = new_greenlet(|value| {
                    let _ = value;
                    pause()
                });
                greenlet.switch(nothing()).unwrap();
                assert_eq!(as_int(greenlet.switch(int(i))), i);
            }
        };
        start_and_end(1000);
        let before = resident();
        start_and_end(100_000);
        let grown = resident().saturating_sub(before);
        // Other tests run in this process. One lost page for each greenlet would be 400 MB.
        assert!(grown < 100_000, "{grown} KiB");
        assert_eq!(Greenlet::all().len(), 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no numbers about the process")]
fn a_thousand_slots_take_no_memory_until_they_are_used() {
    on_a_thread(|| {
        let before = resident();
        let greenlet = waiting();
        let grown = resident().saturating_sub(before);
        assert!(grown < 100_000, "{grown} KiB for one of 1024 slots of 1 MiB");
        drop(greenlet);
    });
}
