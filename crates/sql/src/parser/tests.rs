use super::*;

fn parsed(text: &str) -> Result<Query, QueryError> {
    let parameters = [("@n".to_owned(), "3".to_owned()), ("@s".to_owned(), "\"x\"".to_owned())].into();
    parse(text, &parameters)
}

#[test]
fn clauses_are_told_apart() {
    let query =
        parsed("select top @n r.a, r.b.c x from root as r where r.a = @s order by r.a desc, r.b offset 2 limit 3")
            .unwrap();
    assert_eq!((query.top, query.offset_limit, query.alias.as_str()), (Some(3), Some((2, 3)), "r"));
    let Select::List(items) = &query.select else { panic!("a list is selected") };
    assert_eq!(items.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "x"]);
    assert_eq!(query.order_by.iter().map(|order| order.descending).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn what_is_lacking_is_named() {
    for (text, name) in [
        ("SELECT DISTINCT c.a FROM c", "DISTINCT"),
        ("SELECT c.a FROM c GROUP BY c.a", "GROUP BY"),
        ("SELECT * FROM c JOIN t IN c.tags", "JOIN"),
        ("SELECT VALUE t FROM c JOIN t IN c.tags", "JOIN"),
        ("SELECT * FROM t IN c.tags", "IN"),
        ("SELECT * FROM c.tags", "FROM over a part of the document"),
        ("SELECT VALUE SUM(c.a) FROM c", "aggregate SUM"),
        ("SELECT * FROM c WHERE EXISTS(SELECT VALUE 1 FROM c)", "EXISTS"),
        ("SELECT VALUE (SELECT VALUE 1 FROM c) FROM c", "a subquery"),
        ("SELECT * FROM c WHERE udf.f(c)", "a user-defined function"),
        ("SELECT * FROM c WHERE c.a IS NULL", "the operator IS (there is the function IS_NULL)"),
    ] {
        let fault = parsed(text).unwrap_err().fault;
        assert_eq!(fault, Fault::Unsupported(name.to_owned()), "{text}");
    }
    let fault = parsed("SELECT * FROM c WHERE ST_WITHIN(c.a, c.b)").unwrap_err().fault;
    assert_eq!(fault, Fault::UnknownFunction("ST_WITHIN".to_owned()));
}

#[test]
fn malformed_queries_are_refused() {
    for text in [
        "",
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM c WHERE",
        "SELECT * FROM c WHERE c.",
        "SELECT * FROM c x y",
        "SELECT * FROM c WHERE d.a = 1",
        "SELECT * FROM c WHERE c.a = @unknown",
        "SELECT TOP -1 * FROM c",
        "SELECT * FROM c WHERE (c.a = 1",
        "SELECT * FROM c ORDER c.a",
        "SELECT * FROM c OFFSET 1",
        "SELECT c.a ? 1 FROM c",
    ] {
        let fault = parsed(text).unwrap_err().fault;
        assert!(!matches!(fault, Fault::Unsupported(_) | Fault::UnknownFunction(_)), "{text:?} gave {fault:?}");
    }
    let deep = format!("SELECT * FROM c WHERE {}1", "(".repeat(10_000));
    assert!(parsed(&deep).is_err());
}
