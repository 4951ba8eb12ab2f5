//! Several texts in one fixed buffer.

use core::fmt;

use heapless::Vec;

/// A text or a list of them has no room for what was to be put in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long, or too many")
    }
}

impl core::error::Error for Full {}

/// At most `ITEMS` texts that take at most `BYTES` bytes together.
///
/// They are meant for a program's arguments and variables, so no text can hold a NUL.
#[derive(Clone, Default)]
pub struct TextList<const BYTES: usize, const ITEMS: usize> {
    bytes: Vec<u8, BYTES>,
    ends: Vec<u16, ITEMS>,
}

impl<const BYTES: usize, const ITEMS: usize> TextList<BYTES, ITEMS> {
    const FITS: () = assert!(BYTES <= u16::MAX as usize, "a list of texts holds at most 65535 bytes");

    /// An empty list.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { bytes: Vec::new(), ends: Vec::new() }
    }

    /// Appends a text.
    ///
    /// # Errors
    /// [`Full`] when there are `ITEMS` texts already, when the bytes do not fit, and for a text that
    /// holds a NUL, which no list can hold. The list is then as it was.
    pub fn push(&mut self, text: &str) -> Result<(), Full> {
        if text.bytes().any(|byte| byte == 0) || self.ends.is_full() {
            return Err(Full);
        }
        let end = u16::try_from(self.bytes.len() + text.len()).map_err(|_| Full)?;
        self.bytes.extend_from_slice(text.as_bytes()).map_err(|_| Full)?;
        self.ends.push(end).map_err(|_| Full)
    }

    /// The texts in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let text = self.bytes.get(start..usize::from(*end)).unwrap_or_default();
            start = usize::from(*end);
            // Only whole texts were put in.
            core::str::from_utf8(text).unwrap_or_default()
        })
    }

    /// The first text.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<const BYTES: usize, const ITEMS: usize> fmt::Debug for TextList<BYTES, ITEMS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<const BYTES: usize, const ITEMS: usize> PartialEq for TextList<BYTES, ITEMS> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.ends == other.ends
    }
}

impl<const BYTES: usize, const ITEMS: usize> Eq for TextList<BYTES, ITEMS> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_order() {
        let mut list = TextList::<16, 4>::new();
        assert!(list.is_empty() && list.first().is_none());
        for text in ["sh", "", "-c", "é"] {
            list.push(text).unwrap();
        }
        assert!(list.iter().eq(["sh", "", "-c", "é"]));
        assert_eq!((list.len(), list.first()), (4, Some("sh")));
    }

    #[test]
    fn bytes_fill_to_the_last_and_no_further() {
        let mut list = TextList::<5, 4>::new();
        list.push("abc").unwrap();
        assert_eq!(list.push("def"), Err(Full));
        list.push("de").unwrap();
        assert_eq!(list.push("f"), Err(Full));
        assert!(list.iter().eq(["abc", "de"]));
    }

    #[test]
    fn items_fill_to_the_last_and_no_further() {
        let mut list = TextList::<64, 2>::new();
        list.push("a").unwrap();
        list.push("").unwrap();
        assert_eq!(list.push(""), Err(Full));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn nul_is_refused() {
        let mut list = TextList::<64, 2>::new();
        assert_eq!(list.push("a\0b"), Err(Full));
        assert!(list.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn what_fits_comes_back(texts: std::vec::Vec<String>) {
            let mut list = TextList::<40, 5>::new();
            let taken: std::vec::Vec<_> = texts.iter().filter(|text| list.push(text).is_ok()).collect();
            proptest::prop_assert!(list.iter().eq(taken.iter().map(|text| text.as_str())));
        }
    }
}
