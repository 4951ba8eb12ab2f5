//! Idle connections: each number on standard input is how many are to be open, and is answered with
//! `held N` once they are. The end of the input ends them.

use std::io::{BufRead as _, Write as _};

use crate::link::Link;
use crate::{Error, Options};

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let mut links = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let wanted: usize = line?.trim().parse()?;
        while links.len() < wanted {
            links.push(Link::open(&options.target)?);
        }
        links.truncate(wanted);
        if let Some(process) = options.process {
            process.wait_idle()?;
        }
        let mut output = std::io::stdout().lock();
        writeln!(output, "held {}", links.len())?;
        output.flush()?;
    }
    Ok(())
}
