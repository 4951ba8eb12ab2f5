//! Parameters of a call.

use core::fmt;

use heapless::Vec;

use crate::limits;

/// Parameters of a call: at most `limits::PARAMETERS` pairs of text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parameters<'m>(Vec<(&'m str, &'m str), { limits::PARAMETERS }>);

impl<'m> Parameters<'m> {
    /// Adds a parameter.
    ///
    /// # Errors
    /// [`ParameterError::Duplicate`] if there is a parameter of this key, [`ParameterError::Full`] if there
    /// are `limits::PARAMETERS`. Either way nothing changes.
    pub fn insert(&mut self, key: &'m str, value: &'m str) -> Result<(), ParameterError> {
        if self.get(key).is_some() {
            return Err(ParameterError::Duplicate);
        }
        self.0.push((key, value)).map_err(|_| ParameterError::Full)
    }

    /// Value of this key, which is compared to the byte.
    pub fn get(&self, key: &str) -> Option<&'m str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// All pairs, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'m str, &'m str)> + '_ {
        self.0.iter().copied()
    }

    /// Removes all parameters.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true without any parameter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reason for rejecting a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterError {
    /// The key is already used; the first value stays.
    Duplicate,
    /// The list already has `limits::PARAMETERS` entries.
    Full,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "parameter given twice",
            Self::Full => "too many parameters",
        })
    }
}
