//! The text of an event in one piece of memory.

use std::borrow::Cow;

use bytestring::ByteString;

/// The texts of a row, copied one behind the other: to copy so little takes less time than to allocate and to free it
/// piece by piece, in different threads.
pub(super) fn together<const N: usize>(texts: [Option<Cow<'_, str>>; N]) -> [Option<ByteString>; N] {
    let bytes = texts.iter().flatten().map(|text| text.len()).sum();
    let mut all = String::with_capacity(bytes);
    all.extend(texts.iter().flatten().map(|text| &**text));
    let all = ByteString::from(all);
    let mut from = 0;
    texts.map(|text| {
        let to = from + text?.len();
        let part = all.slice_ref(&all[from..to]);
        from = to;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_what_it_was_and_all_are_in_one_piece() {
        let texts = [Some("täxt"), None, Some(""), Some("ключ"), Some("x")];
        let found = together(texts.map(|text| text.map(Cow::from)));
        assert_eq!(found.each_ref().map(Option::as_deref), texts);
        let bytes = found.iter().flatten().filter(|text| !text.is_empty()).map(|text| text.as_bytes().as_ptr_range());
        let ranges: Vec<_> = bytes.collect();
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
    }

    #[test]
    fn there_need_be_no_text() {
        assert_eq!(together::<2>([None, None]), [None, None]);
    }
}
