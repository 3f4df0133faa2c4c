//! A sample sorts as its source does, whoever provides the order.

use crate::between;
use crate::server::Server;

const TABLE: &str = "CREATE TABLE words (id int PRIMARY KEY, word text); \
    INSERT INTO words VALUES (1, 'Zebra'), (2, 'apfel'), (3, 'Äpfel'), (4, 'az'), (5, 'ae'), (6, 'B')";
const SORTED: &str = "SELECT string_agg(word, ' ' ORDER BY word) FROM words";
const HOW: &str = "SELECT concat_ws('|', datcollate, datctype, datlocprovider, datlocale, daticurules) FROM pg_database WHERE datname = current_database()";

#[tokio::test]
async fn icu_and_builtin_orders_are_carried_over() {
    let server = Server::start();
    let mut orders = Vec::new();
    for (name, locale) in [
        ("phonebook", "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'"),
        ("ruled", "LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '&A < B < Z'"),
        ("built", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
        ("libc", "LOCALE_PROVIDER libc"),
    ] {
        server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' {locale}"));
        server.sql(name, TABLE);
        let (from, to) = (server.address(name), server.address(&format!("{name}_dev")));
        between(&from, &to, &server.pg_dump(), "cohort: { table: words }\n").await.expect("a sample");
        let of = |database: &str| (server.sql(database, HOW), server.sql(database, SORTED));
        assert_eq!(of(&format!("{name}_dev")), of(name));
        let made = format!("{name}__partywall_1");
        pw_data::seed::make_like(&from, &made).await.expect("made");
        assert_eq!(server.sql(&made, HOW), server.sql(name, HOW));
        orders.push(server.sql(name, SORTED));
    }
    assert_eq!(orders[0], "ae Äpfel apfel az B Zebra", "as a German telephone book");
    assert_eq!(orders[3], "B Zebra ae apfel az Äpfel", "by bytes");
}
