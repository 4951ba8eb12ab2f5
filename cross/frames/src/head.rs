//! The head of a file or stream: a text between two zeros, which no frame looks like.

/// First bytes of a head; the number is the version of its format.
const MARK: &str = "friendlet-log 1 ";

/// Content of a head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    /// True if lines follow, false if frames.
    pub(crate) is_text: bool,
    /// Build id of the program, hexadecimal.
    pub(crate) build: String,
    /// Board that it was built for.
    pub(crate) board: String,
    /// Unix time and the time of the records at the same moment, in milliseconds.
    pub(crate) wall_ms: u64,
    /// See `wall_ms`.
    pub(crate) mono_ms: u64,
}

impl Head {
    /// The head in the bytes between two zeros; nothing when they are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Result<Self, String>> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(MARK)?;
        Some(Self::fields(text))
    }

    fn fields(text: &str) -> Result<Self, String> {
        let field = |name: &str| {
            let mut fields = text.split_whitespace().filter_map(|field| field.split_once('='));
            fields.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let needed = |name| field(name).ok_or_else(|| format!("the head has no {name}: {}", text.trim_end()));
        let number = |name| {
            needed(name)?
                .parse()
                .map_err(|_| format!("the head's {name} is not a number: {}", text.trim_end()))
        };
        let is_text = match needed("form")? {
            "defmt" => false,
            "text" => true,
            other => return Err(format!("this log is '{other}', which is unknown here")),
        };
        if number("slide")? != 0 {
            return Err("this program was not loaded where it is linked to".to_owned());
        }
        Ok(Self {
            is_text,
            build: needed("build")?.to_owned(),
            board: needed("board")?.to_owned(),
            wall_ms: number("wall_ms")?,
            mono_ms: number("mono_ms")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_what_is_none() {
        let text = "friendlet-log 1 form=defmt build=0a1b board=qemu-armv7 wall_ms=1700000000000 mono_ms=12 slide=0\n";
        let head = Head::parse(text.as_bytes()).unwrap().unwrap();
        let wanted = Head {
            is_text: false,
            build: "0a1b".into(),
            board: "qemu-armv7".into(),
            wall_ms: 1_700_000_000_000,
            mono_ms: 12,
        };
        assert_eq!(head, wanted);
        assert_eq!(Head::parse(b"\x01\x02"), None);
        for (from, to, complaint) in [
            ("form=defmt", "form=tea", "unknown here"),
            ("slide=0", "slide=4096", "loaded"),
            ("build=", "built=", "no build"),
            ("mono_ms=12", "mono_ms=x", "mono_ms is not a number"),
        ] {
            let error = Head::parse(text.replace(from, to).as_bytes()).unwrap().unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
