//! The binary form of an array: element by element, whatever its dimensions.

/// Dimensions, whether a null is in it, the number of the element's type.
const HEAD: usize = 12;
/// Length and first number of each dimension.
const DIMENSION: usize = 8;
/// More than PostgreSQL has.
const MOST: usize = 6;
const NULL: i32 = -1;

/// The elements of an array, nulls left out; `None` when it cannot be read.
pub(crate) fn items(value: &[u8]) -> Option<Vec<&[u8]>> {
    let (_, rest) = split(value)?;
    Some(elements(rest)?.into_iter().flatten().collect())
}

/// The same array of other elements; `each` writes one, or answers that it becomes null.
pub(super) fn rewritten(
    value: &[u8],
    out: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
) -> Option<()> {
    let (head, rest) = split(value)?;
    let (from, mut item) = (out.len(), Vec::new());
    out.extend_from_slice(head);
    for element in elements(rest)? {
        item.clear();
        if element.is_some_and(|element| each(element, &mut item)) {
            out.extend_from_slice(&i32::try_from(item.len()).ok()?.to_be_bytes());
            out.extend_from_slice(&item);
        } else {
            out.extend_from_slice(&NULL.to_be_bytes());
            out[from + 7] = 1;
        }
    }
    Some(())
}

/// What stands before the elements, and the elements.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let dimensions = usize::try_from(number(value)?).ok().filter(|count| *count <= MOST)?;
    value.split_at_checked(HEAD + dimensions * DIMENSION)
}

fn elements(mut rest: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (length, after) = (number(rest)?, &rest[4..]);
        if length == NULL {
            found.push(None);
            rest = after;
            continue;
        }
        let (element, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        found.push(Some(element));
        rest = after;
    }
    Some(found)
}

fn number(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(elements: &[Option<&str>]) -> Vec<u8> {
        let mut bytes = [1, 0, 25, i32::try_from(elements.len()).unwrap(), 1].map(i32::to_be_bytes).concat();
        for element in elements {
            bytes.extend(element.map_or(NULL, |text| i32::try_from(text.len()).unwrap()).to_be_bytes());
            bytes.extend(element.unwrap_or_default().as_bytes());
        }
        bytes
    }

    fn doubled(element: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend([element, element].concat());
        element != b"gone"
    }

    #[test]
    fn every_element_is_rewritten_and_a_null_stays() {
        let mut out = Vec::new();
        let value = array(&[Some("a"), None, Some(""), Some("bc")]);
        assert_eq!(items(&value).unwrap(), [b"a".as_slice(), b"", b"bc"]);
        rewritten(&value, &mut out, doubled).unwrap();
        let mut wanted = array(&[Some("aa"), None, Some(""), Some("bcbc")]);
        wanted[7] = 1;
        assert_eq!(out, wanted);
    }

    #[test]
    fn an_element_that_becomes_null_is_told_in_the_head() {
        let mut out = Vec::new();
        rewritten(&array(&[Some("gone")]), &mut out, doubled).unwrap();
        let mut wanted = array(&[None]);
        wanted[7] = 1;
        assert_eq!(out, wanted);
    }

    #[test]
    fn what_is_no_array_is_not_read() {
        let whole = array(&[Some("abc")]);
        for end in 1..whole.len() {
            // Cut before the first element, it is an array with none: nothing of it goes out.
            let read = items(&whole[..end]);
            assert!(read.is_none() || end == 20 && read == Some(Vec::new()), "{end}");
        }
        assert!(items(&[0xff; 40]).is_none());
        assert_eq!(items(&[0; 12]), Some(Vec::new()), "an empty one has no dimension");
    }
}
