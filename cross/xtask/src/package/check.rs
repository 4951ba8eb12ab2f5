//! Step `packages`: everything of a release is made, held to the rules of its formats, installed and built again.

use std::path::Path;

use super::content::{Content, Packed};
use super::files::{directory, name_of};
use super::make::{Options, make};
use super::manifest::{Format, Manifest};
use super::{booted, rebuilt, roots, trees};
use crate::image::{clean, source_time};
use crate::{run, setup};

/// Debian packages with the programs of this step.
const TOOLS: [&str; 11] = [
    "arch-test",
    "bash",
    "cpio",
    "fish",
    "gzip",
    "iproute2",
    "lintian",
    "mandoc",
    "mmdebstrap",
    "shellcheck",
    "zsh",
];
/// Architectures whose package lives in a root of Debian: this machine's, and an emulated one.
const LIVED: [&str; 2] = ["amd64", "armhf"];

/// Runs the step.
pub(crate) fn check() -> Result<(), String> {
    setup::ensure(&TOOLS)?;
    let options = Options { is_release: true, ..Options::default() };
    make(&options)?;
    let manifest = Manifest::load()?;
    let time = source_time()?;
    for architecture in manifest.architecture.keys() {
        let mut content = Content::make(&manifest, architecture, time)?;
        lintian(&content)?;
        if architecture == LIVED[0] {
            texts(&content)?;
            roots::live_with_openrc(&content)?;
        }
        if LIVED.contains(&architecture.as_str()) {
            roots::live(&mut content)?;
        }
        if architecture == LIVED[1] {
            booted::live(&mut content)?;
        }
    }
    scripts()?;
    trees::check()?;
    rebuilt::check(LIVED[0])
}

/// Debian's own checker has nothing to say.
fn lintian(content: &Content<'_>) -> Result<(), String> {
    let name = format!("friendlet_{}-{}_{}.deb", content.version(), content.revision, content.architecture);
    let mut command = run::at_root("lintian");
    command.args(["--allow-root", "--no-cfg", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    run::shown(command.arg(directory().join(name)))
}

/// Scripts of packages and of service managers are those of a plain shell.
fn scripts() -> Result<(), String> {
    let files = run::captured(run::at_root("git").args(["ls-files", "cross/packages"]))?;
    let is_script = |file: &&str| run::read(&run::root().join(file)).is_ok_and(|text| text.starts_with("#!"));
    let scripts: Vec<&str> = files.lines().filter(is_script).collect();
    if scripts.is_empty() {
        return Err("cross/packages: no script".to_owned());
    }
    // dash: procd's and OpenRC's functions have `local`, and names that are variables elsewhere.
    run::shown(run::at_root("shellcheck").args(["--shell=dash", "--severity=style"]).args(scripts))
}

/// Manual and completions do what they are for.
fn texts(content: &Content<'_>) -> Result<(), String> {
    let work = directory().join("texts");
    clean(&work)?;
    let files = content.files(Format::Deb)?;
    for file in files.iter().filter(|file| file.path.contains("/man1/")) {
        let path = work.join(name_of(Path::new(&file.path)));
        run::write(&path, &file.content)?;
        run::captured(run::at_root("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&path))?;
    }
    completions(&work, &files)?;
    clean(&work)
}

/// Text to complete, and words that must and must not be among those that are offered.
const COMPLETED: [(&[&str], &str, &str); 4] = [
    (&["friendlet", ""], "serve", "login"),
    (&["friendlet", "ctl", ""], "restart", "serve"),
    (&["friendlet", "ctl", "--url", "unix:/x", "logs", "-"], "--follow", "--dry-run"),
    (&["friendlet", "ctl", "reload", "-"], "--dry-run", "--follow"),
];

/// Script that each shell runs: `$0` is the completion, the arguments are the words.
const SHELLS: [(&str, &str, &[&str], &str); 3] = [
    (
        "bash",
        "/usr/share/bash-completion/completions/friendlet",
        &["--norc", "-c"],
        ". \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _friendlet; printf '%s\\n' \"${COMPREPLY[@]}\"",
    ),
    (
        "zsh",
        "/usr/share/zsh/vendor-completions/_friendlet",
        &["-f", "-c"],
        "_describe() { print -l -- ${(P)2} }; words=(\"$@\"); CURRENT=$#; . \"$0\"",
    ),
    (
        "fish",
        "/usr/share/fish/vendor_completions.d/friendlet.fish",
        &["--no-config", "-c"],
        "source $argv[1]; complete -C (string join ' ' -- $argv[2..])",
    ),
];

fn completions(work: &Path, files: &[Packed]) -> Result<(), String> {
    for (shell, path, options, script) in SHELLS {
        let file =
            files.iter().find(|file| file.path == path).ok_or_else(|| format!("{path} is not packed"))?;
        let completion = work.join(shell);
        run::write(&completion, &file.content)?;
        for (words, wanted, unwanted) in COMPLETED {
            let mut command = run::at_root(shell);
            command.args(options).arg(script).arg(&completion).args(words);
            let text = run::captured(&mut command)?;
            // After a word, zsh and fish have its description.
            let offered: Vec<&str> = text.lines().filter_map(|line| line.split([':', '\t']).next()).collect();
            if !offered.contains(&wanted) || offered.contains(&unwanted) {
                return Err(format!("{shell}: '{}' offers {offered:?}", words.join(" ")));
            }
        }
        println!("    {shell} completes");
    }
    Ok(())
}
