//! Strings in one buffer of their size.

use core::fmt;

use crate::{internal_error, limits};

/// Name of a service or of one of its commands.
pub type Name = heapless::String<{ limits::SERVICE_NAME_BYTES }>;
/// Program and its arguments.
pub type Arguments = StringArray<{ limits::SERVICE_ARGUMENT_BYTES }, { limits::SERVICE_ARGUMENTS }>;
/// Environment entries, `NAME=value`.
pub type Variables = StringArray<{ limits::SERVICE_VARIABLE_BYTES }, { limits::SERVICE_VARIABLES }>;

/// A fixed string or string array has no room for the value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CapacityError;

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long, or too many")
    }
}

impl core::error::Error for CapacityError {}

/// Array of at most `ITEMS` strings with at most `BYTES` bytes in total.
///
/// Used for the arguments and variables of a program, so no string contains a NUL. It is filled once, while
/// the configuration file is read, and has the memory of its strings alone: the size of that file, times
/// `INSTANCES` for those of a service with instances, bounds all of them together.
#[derive(Clone, Default)]
pub struct StringArray<const BYTES: usize, const ITEMS: usize> {
    text: String,
    ends: Vec<u16>,
}

impl<const BYTES: usize, const ITEMS: usize> StringArray<BYTES, ITEMS> {
    const FITS: () = assert!(BYTES <= u16::MAX as usize, "a string array has at most 65535 bytes");

    /// Empty array.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { text: String::new(), ends: Vec::new() }
    }

    /// Appends a string.
    ///
    /// # Errors
    /// [`CapacityError`] when the array already has `ITEMS` strings, when the bytes do not fit, and
    /// for a string with a NUL. The array is unchanged.
    pub fn push(&mut self, text: &str) -> Result<(), CapacityError> {
        let length = self.text.len() + text.len();
        if text.bytes().any(|byte| byte == 0) || self.ends.len() == ITEMS || length > BYTES {
            return Err(CapacityError);
        }
        let end = u16::try_from(length).map_err(|_| CapacityError)?;
        self.text.reserve_exact(text.len());
        self.text.push_str(text);
        self.ends.reserve_exact(1);
        self.ends.push(end);
        Ok(())
    }

    /// Strings in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = self.text.get(start..usize::from(*end));
            start = usize::from(*end);
            text.unwrap_or_else(|| {
                internal_error!("a string array has a wrong offset");
                ""
            })
        })
    }

    /// First string.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Memory of the strings.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u16>()
    }

    /// Returns true without strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<const BYTES: usize, const ITEMS: usize> fmt::Debug for StringArray<BYTES, ITEMS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<const BYTES: usize, const ITEMS: usize> PartialEq for StringArray<BYTES, ITEMS> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ends == other.ends
    }
}

impl<const BYTES: usize, const ITEMS: usize> Eq for StringArray<BYTES, ITEMS> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_returned_in_order() {
        let mut list = StringArray::<16, 4>::new();
        assert!(list.is_empty() && list.first().is_none());
        for text in ["sh", "", "-c", "é"] {
            list.push(text).unwrap();
        }
        assert!(list.iter().eq(["sh", "", "-c", "é"]));
        assert_eq!((list.len(), list.first()), (4, Some("sh")));
    }

    #[test]
    fn bytes_up_to_the_limit() {
        let mut list = StringArray::<5, 4>::new();
        list.push("abc").unwrap();
        assert_eq!(list.push("def"), Err(CapacityError));
        assert_eq!(CapacityError.to_string(), "too long, or too many");
        list.push("de").unwrap();
        assert_eq!(list.push("f"), Err(CapacityError));
        assert!(list.iter().eq(["abc", "de"]));
    }

    #[test]
    fn items_up_to_the_limit() {
        let mut list = StringArray::<64, 2>::new();
        list.push("a").unwrap();
        list.push("").unwrap();
        assert_eq!(list.push(""), Err(CapacityError));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn memory_is_that_of_the_strings() {
        let mut list = StringArray::<4096, 64>::new();
        for text in ["ffmpeg", "-i", "/dev/video0"] {
            list.push(text).unwrap();
        }
        let list = list.clone();
        assert!(
            list.text.capacity() <= 32 && list.ends.capacity() <= 4,
            "{} {}",
            list.text.capacity(),
            list.ends.capacity()
        );
    }

    #[test]
    fn arrays_are_equal_with_the_same_strings_alone() {
        let array = |texts: &[&str]| {
            let mut array = StringArray::<16, 4>::new();
            texts.iter().for_each(|text| array.push(text).unwrap());
            array
        };
        let one = array(&["ab", "c"]);
        assert_eq!(one, array(&["ab", "c"]));
        for other in [&["a", "bc"][..], &["xy", "z"], &["ab"], &["ab", "c", ""], &[]] {
            assert_ne!(one, array(other), "{other:?}");
        }
        assert_eq!(format!("{one:?}"), r#"["ab", "c"]"#);
        assert_eq!((one.bytes(), array(&[]).bytes()), (3 + 2 * 2, 0));
    }

    #[test]
    fn nul_is_refused() {
        let mut list = StringArray::<64, 2>::new();
        assert_eq!(list.push("a\0b"), Err(CapacityError));
        assert!(list.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn strings_that_fit_are_returned(texts: Vec<String>) {
            let mut list = StringArray::<40, 5>::new();
            let stored: Vec<_> = texts.iter().filter(|text| list.push(text).is_ok()).collect();
            proptest::prop_assert!(list.iter().eq(stored.iter().map(|text| text.as_str())));
        }
    }
}
