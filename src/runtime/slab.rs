//! Table with reusable entries.

/// Initial capacity, in entries.
const CAPACITY: usize = 64;

/// Entries under stable indices. A removed entry keeps its content for the next owner of its index.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::with_capacity(CAPACITY), free: Vec::with_capacity(CAPACITY) }
    }

    /// Makes room for `count` entries, so that none of them allocates later.
    pub(super) fn reserve(&mut self, count: usize) {
        self.entries.reserve(count.saturating_sub(self.entries.len()));
        self.free.reserve(count.saturating_sub(self.free.len()));
    }

    /// Returns a free entry with the content of its last owner, or a new one.
    pub(super) fn insert(&mut self) -> (usize, &mut T) {
        let index = self.free.pop().map_or(self.entries.len(), |index| index as usize);
        if index == self.entries.len() {
            self.entries.push(T::default());
        }
        (index, &mut self.entries[index])
    }

    /// Frees the entry of this index.
    pub(super) fn remove(&mut self, index: usize) {
        debug_assert!(index < self.entries.len() && !self.free.contains(&(index as u32)), "{index}");
        self.free.push(index as u32);
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.entries.get_mut(index)
    }

    /// Every entry, the free ones too.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_used_again() {
        let mut slab = Slab::<u8>::new();
        assert_eq!((slab.insert().0, slab.insert().0), (0, 1));
        slab.remove(0);
        assert_eq!((slab.insert().0, slab.insert().0), (0, 2));
    }
}
