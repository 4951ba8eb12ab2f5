//! Messages that change something, and the pushes that every connection gets by them.

use crate::link::Link;
use crate::rate::PUSH;
use crate::{Error, Options};

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let mut link = Link::open(&options.target)?;
    // What is pushed to these fits in their sockets.
    let others = (1..options.connections).map(|_| Link::open(&options.target));
    let _others = others.collect::<Result<Vec<_>, _>>()?;
    let mut message = Vec::new();
    options.append_message(&mut message);
    let mut pushes = 0_u64;
    for _ in 0..options.messages {
        if let Some(process) = options.process {
            process.wait_idle()?;
        }
        link.write(&message)?;
        let mut is_last = false;
        while !is_last {
            link.read()?;
            link.texts(|text| {
                if text.starts_with(PUSH) {
                    pushes += 1;
                    is_last |= options.is_expected(text);
                }
            })?;
        }
        std::thread::sleep(options.pause);
    }
    println!("pushes {pushes}");
    Ok(())
}
