//! `cargo xtask bench` and the step `figures`: friendlet measured beside its peers, and held to what it
//! was.
//!
//! [`docs/benchmarks.md`](../../../../docs/benchmarks.md) describes the method.

mod counts;
mod cycles;
mod figures;
mod floods;
mod kit;
mod load;
mod measure;
mod memory;
mod message;
mod peer;
mod plot;
mod report;
mod server;

use std::time::Instant;

use kit::Kit;
use measure::Effort;
use report::Part;

pub(crate) use cycles::run as run_cycles;
pub(crate) use figures::{check, keep};
pub(crate) use floods::Options as FloodOptions;
pub(crate) use floods::{options as flood_options, run as run_floods};

/// The options of `cargo xtask bench`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// Fewer rounds and messages; the document is left alone.
    pub(crate) quick: bool,
    /// No times: counts alone, which a busy machine gives too.
    pub(crate) counts: bool,
    /// Programs beside friendlet and the limit; all where none is named.
    pub(crate) only: Vec<String>,
}

/// Measures, prints the tables, and writes them to `docs/benchmarks.md` if nothing was left out.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let begin = Instant::now();
    let peers = peer::chosen(&options.only)?;
    let kit = Kit::build(&peers)?;
    let effort = match options {
        Options { counts: true, .. } => Effort::COUNTS,
        Options { quick: true, .. } => Effort::QUICK,
        _ => Effort::FULL,
    };
    let rows = measure::measure(&kit, &peers, effort)?;
    let mut parts = vec![(Part::Counts, report::counts(&rows)?)];
    if !options.counts {
        parts.push((Part::Times, report::times(&rows, effort)?));
    }
    let is_whole = !options.quick && options.only.is_empty();
    for (part, tables) in parts {
        println!("\n{tables}");
        if is_whole {
            report::write(part, &tables)?;
        }
    }
    if is_whole {
        report::write_plot(&plot::svg(&rows))?;
    } else {
        println!(
            "    docs/benchmarks.md stays as it is: only a run of all peers, without --quick, writes it"
        );
    }
    println!("    measured in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// `bench [--quick | --counts] [--only PEER]..`
pub(crate) fn options(words: &[&str]) -> Result<Options, String> {
    let options = parse(words).map_err(|error| format!("bench: {error}"))?;
    peer::chosen(&options.only)?;
    Ok(options)
}

fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt as _};
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.quick = true,
            Long("counts") => options.counts = true,
            Long("only") => options.only.push(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_chosen_by_name_and_the_limit_is_always_there() {
        let wanted = options(&["--quick", "--only", "fastwebsockets"]).unwrap();
        assert!(wanted.quick);
        let names: Vec<&str> = peer::chosen(&wanted.only).unwrap().iter().map(|peer| peer.name).collect();
        assert_eq!(
            names,
            [
                "epoll-echo",
                "friendlet",
                "friendlet, ping parsed",
                "fastwebsockets",
                "fastwebsockets, level 3"
            ]
        );
        assert_eq!(peer::chosen(&[]).unwrap().len(), peer::PEERS.len());
        for wrong in [&["--only"][..], &["--only=nobody"], &["--quick=1"], &["all"]] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }
}
