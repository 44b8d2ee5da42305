//! Tables seen from redis-server 7.0.15, work bounds, and laws of the prefix.

use super::*;
use proptest::prelude::*;

#[test]
fn patterns_match_as_redis_matches_them() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "", false),
        ("a", "", false),
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("h?llo", "hello", true),
        ("h?llo", "hllo", false),
        ("h*llo", "heeeello", true),
        ("h*llo", "heeeell", false),
        ("*", "anything", true),
        ("**", "anything", true),
        ("a*", "a", true),
        ("a**", "a", true),
        ("*a", "a", true),
        ("*b*", "abc", true),
        ("*ab", "aab", true),
        ("*abac", "ababac", true),
        ("a*b*c", "abcbcbc", true),
        ("a*b*c", "abcbcbd", false),
        ("h[ae]llo", "hallo", true),
        ("h[ae]llo", "hillo", false),
        ("h[^e]llo", "hallo", true),
        ("h[^e]llo", "hello", false),
        ("[a-c]x", "bx", true),
        ("[c-a]x", "bx", true),
        ("[a-c]x", "dx", false),
        ("[]", "a", false),
        ("[]a", "a", false),
        ("[^]", "a", true),
        ("[^]a", "xa", true),
        ("[a", "a", true),
        ("[a", "b", false),
        ("[", "[", false),
        ("[^", "x", true),
        ("[a-", "-", true),
        ("[a-]", "^", true),
        ("[a-]", "-", false),
        ("[a-]", "a", true),
        (r"[\]]", "]", true),
        (r"[\", r"\", true),
        (r"[a\-z]", "-", true),
        (r"[a\-z]", "b", false),
        (r"\*", "*", true),
        (r"\*", "a", false),
        (r"\a", "a", true),
        (r"a\", r"a\", true),
        (r"\\", r"\", true),
        ("*[", "x[", false),
        ("a?*", "a", false),
        ("a*?", "ab", true),
        ("A", "a", false),
    ] {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn case_folds_only_where_redis_folds_it() {
    for (pattern, text, expected) in [
        ("HeLLo", "hEllO", true),
        ("[a-c]", "B", true),
        ("[A-C]", "b", true),
        ("[ab]", "B", true),
        (r"[\a]", "A", false),
        (r"\a", "A", true),
        ("[Z-a]", "z", false),
        ("[^a]", "A", false),
    ] {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), true), expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn ranges_compare_signed_bytes() {
    assert!(matches(b"[\x80-\x90]", b"\x85", false));
    assert!(matches(b"[a-\xff]", b"A", false), "-1 ..= 97 holds 'A'");
    assert!(!matches(b"[a-\xff]", b"\xe0", false), "-1 ..= 97 lacks -32");
}

/// With one retry point per `*`, as in Redis before 6.2.6, this would not end in years.
#[test]
fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
    let pattern = b"a*".repeat(200);
    let text = vec![b'a'; 20_000];
    assert!(matches(&pattern, &text, false));
    assert!(!matches(&[pattern, b"b".to_vec()].concat(), &text, false));
}

#[test]
fn deep_patterns_do_not_exhaust_the_stack() {
    let pattern = [b"*a".repeat(1000), b"a".repeat(500_000)].concat();
    assert!(matches(&pattern, &b"a".repeat(501_000), false));
}

#[test]
fn prefixes_end_at_the_first_wildcard() {
    for (pattern, prefix, whole) in [
        ("user:*", "user:", false),
        ("user:", "user:", true),
        ("", "", true),
        ("*", "", false),
        ("a?", "a", false),
        ("a[b]", "a", false),
        (r"a\*b*", "a*b", false),
        (r"a\*b", "a*b", true),
        (r"a\", r"a\", true),
        (r"\\x?", r"\x", false),
    ] {
        assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes(), "{pattern:?}");
        let expected = whole.then_some(Cow::Borrowed(prefix.as_bytes()));
        assert_eq!(literal(pattern.as_bytes()), expected, "{pattern:?}");
    }
    assert!(matches!(literal_prefix(b"plain*"), Cow::Borrowed(_)));
}

/// Texts and patterns over few bytes, so that they meet.
const PATTERN: &str = r"[ab\-\[\]^*?\\]{0,9}";
const TEXT: &str = r"[ab\-\[\]^*?\\]{0,6}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_match_starts_with_the_literal_prefix(pattern in PATTERN, text in TEXT) {
        if matches(pattern.as_bytes(), text.as_bytes(), false) {
            prop_assert!(text.as_bytes().starts_with(&literal_prefix(pattern.as_bytes())));
        }
    }

    #[test]
    fn a_literal_matches_itself_alone(pattern in PATTERN, text in TEXT) {
        if let Some(only) = literal(pattern.as_bytes()) {
            prop_assert!(matches(pattern.as_bytes(), &only, false));
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), *only == *text.as_bytes());
        }
    }

    #[test]
    fn an_escaped_text_matches_itself(text: Vec<u8>) {
        let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
        prop_assert!(matches(&pattern, &text, false));
        prop_assert_eq!(literal(&pattern), Some(Cow::Owned(text)));
    }

    #[test]
    fn any_bytes_are_a_pattern(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
        let _ = matches(&pattern, &text, nocase);
    }
}

#[test]
fn beyond_a_thousand_stars_nothing_matches_as_in_redis() {
    let pattern = |stars: usize| b"*?".repeat(stars);
    assert!(matches(&pattern(1000), &[b'a'; 2000], false));
    assert!(!matches(&pattern(1001), &[b'a'; 2000], false));
}
