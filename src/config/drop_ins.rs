//! Drop-ins at the start of a server: a broken one is replaced by its last good copy or left out, and the rest is in
//! force.

use std::fmt;

use super::{Config, ParseError, References, Source, parse_files};

/// Configuration of a file and those of its drop-ins that can be used.
#[derive(Debug)]
pub struct Settled<'t> {
    /// The configuration.
    pub config: Config,
    /// Files in force.
    pub files: Vec<Source<'t>>,
    /// Drop-ins that are not in force.
    pub failures: Vec<DropInFailure>,
}

/// Drop-in that is not in force.
///
/// Displayed as `drop-in NAME left out: FILE:LINE:COLUMN: MESSAGE; and 2 more`.
#[derive(Clone, Debug)]
pub struct DropInFailure {
    /// Name of the file.
    name: String,
    error: ParseError,
    /// Its last good copy is in force.
    has_copy: bool,
}

impl fmt::Display for DropInFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, error, has_copy } = self;
        match has_copy {
            true => write!(f, "last good copy of drop-in {name} in force: {}", error.first())?,
            false => write!(f, "drop-in {name} left out: {}", error.first())?,
        }
        match error.after_first() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Puts a configuration file in force with as many of its drop-ins as can be used, in their order. One that cannot be
/// used with those before it is replaced by its copy in `good`, or left out.
///
/// # Errors
/// All errors of all files, if the configuration file itself is wrong.
pub fn settle<'t>(
    file: Source<'t>,
    drop_ins: &[Source<'t>],
    good: &[Source<'t>],
    references: References,
    program: &str,
) -> Result<Settled<'t>, ParseError> {
    let files: Vec<_> = std::iter::once(file).chain(drop_ins.iter().copied()).collect();
    let errors = match parse_files(&files, references, program) {
        Ok(config) => return Ok(Settled { config, files, failures: Vec::new() }),
        Err(errors) => errors,
    };
    // The names of a file may be in any other one.
    let parse = |files: &[Source<'_>]| parse_files(files, References::MayBeMissing, program);
    if parse(&[file]).is_err() {
        return Err(errors);
    }
    let use_right_ones = |is_wrong: &dyn Fn(&Source<'_>) -> Option<ParseError>| {
        let mut files = vec![file];
        let mut failures = Vec::new();
        for drop_in in drop_ins {
            files.push(*drop_in);
            let Some(error) = is_wrong(drop_in).or_else(|| parse(&files).err()) else { continue };
            files.pop();
            let name = drop_in.file_name();
            let copy = good.iter().find(|copy| copy.file_name() == name && copy.text != drop_in.text);
            files.extend(copy);
            let has_copy = copy.is_some() && parse(&files).is_ok();
            if copy.is_some() && !has_copy {
                files.pop();
            }
            failures.push(DropInFailure { name: name.to_owned(), error, has_copy });
        }
        (files, failures)
    };
    let (mut files, mut failures) = use_right_ones(&|_| None);
    if failures.is_empty() {
        // The errors are names that no file has.
        if errors.of(file.name).is_some() {
            return Err(errors);
        }
        (files, failures) = use_right_ones(&|drop_in| errors.of(drop_in.name));
    }
    let config = parse(&files)?;
    Ok(Settled { config, files, failures })
}

#[cfg(test)]
mod tests;
