//! Indexes of named entries, which stay the same over a reload.

use heapless::Vec;

/// Returns the index of each entry of a later table. `kept` is that of the earlier entry of the same name, if there is
/// one; the other entries get the lowest free ones.
pub fn assign<const N: usize>(kept: impl Iterator<Item = Option<usize>>) -> Vec<usize, N> {
    let kept: Vec<Option<usize>, N> = kept.take(N).collect();
    let mut free = (0..N).filter(|index| !kept.contains(&Some(*index)));
    kept.iter().filter_map(|index| index.or_else(|| free.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_of_the_same_name_keeps_its_index_and_others_get_the_free_ones() {
        let assign = |kept: &[Option<usize>]| assign::<4>(kept.iter().copied());
        assert_eq!(assign(&[None, Some(0), None, Some(2)]), [1, 0, 3, 2]);
        assert_eq!(assign(&[Some(3), None]), [3, 0]);
        assert!(assign(&[]).is_empty());
    }
}
