//! As `count.rs`, for [`Greenlet`]: switches to one, with a value, and back as often as its argument says. A program of its own,
//! because what else is in a program changes which functions the compiler inlines.

use std::error::Error;

use greenlets_core::Greenlet;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).ok_or("how often?")?.parse()?;
    let echo = |mut value| {
        loop {
            value = Greenlet::switch_to_parent(value)?;
        }
    };
    // SAFETY: `echo` switches with nothing of a thread-local borrowed, initialised or set.
    let greenlet = unsafe { Greenlet::new(echo) };
    for _ in 0..count {
        greenlet.switch(Box::new(()))?;
    }
    println!("{count} switches there and back");
    Ok(())
}
