use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn whatever_does_not_fit_into_memory_comes_back_in_order(
        items in prop::collection::vec((0_i64..50, 0_usize..300), 0..400),
        memory in 0_usize..20_000,
        sorters in 1_usize..4,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut all: Vec<_> = (0..sorters).map(|_| Sorter::new(directory.path().to_owned(), memory)).collect();
        let mut want = Vec::new();
        for (number, &(time, length)) in items.iter().enumerate() {
            let key = Key { time, source: (number % 7) as u64, packet: number as u64 };
            let bytes = vec![number as u8; length];
            all[number % sorters].put(key, &bytes).unwrap();
            want.push((key, bytes));
        }
        want.sort_by_key(|(key, _)| *key);
        let mut sorted = merge(&mut all).unwrap();
        for (_, bytes) in &want {
            prop_assert_eq!(&**bytes, &*sorted.next().unwrap().unwrap());
        }
        prop_assert!(sorted.next().unwrap().is_none());
        // Nothing of it has a name.
        prop_assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
