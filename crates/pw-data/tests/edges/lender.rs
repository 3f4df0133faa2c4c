//! The whole, on a database as many have it: lending films.

use crate::sample;
use crate::server::Server;

const SQL: &str = include_str!("../data/lender.sql");
const RULES: &str = r#"
cohort: { table: customer, sample: 10%, where: "activebool" }
children: { staff.store_id: all }
masks:
  customer.email: email
  customer.first_name: name
  customer.last_name: name
  staff.email: email
  staff.username: username
  staff.password: password
  staff.first_name: name
  staff.last_name: name
  staff.picture: "null"
  actor.first_name: keep
  actor.last_name: keep
  address.address: address
  address.address2: "null"
  address.postal_code: { constant: "00000" }
  address.phone: phone
  payment.amount: { noise: 10% }
"#;

#[tokio::test]
async fn a_shop_that_lends_films_comes_over() {
    let server = Server::start();
    server.sql("production", SQL);
    let done = sample(&server, RULES).await;
    let (ask, source) =
        (|sql: &str| server.sql("development", sql), |sql: &str| server.sql("production", sql));
    let customers: u32 = ask("SELECT count(*) FROM customer").parse().expect("a number");
    assert!((30..=100).contains(&customers), "{customers} customers of 600, {done:?}");
    // What a customer has comes whole: as many rentals and payments as there.
    let theirs = ask("SELECT string_agg(customer_id::text, ',') FROM customer");
    for table in ["rental", "payment"] {
        let sum = format!("SELECT count(*), sum({table}_id) FROM {table} WHERE customer_id IN ({theirs})");
        assert_eq!(ask(&sum), source(&sum), "{table}");
        assert_eq!(ask(&format!("SELECT count(*) FROM {table} WHERE customer_id NOT IN ({theirs})")), "0");
    }
    let parts = "SELECT count(DISTINCT tableoid) FROM payment";
    assert_eq!(ask(parts), source(parts), "a partition for each month");
    // Films as they are: text search, lists, enumeration, generated columns, and no trigger touched them.
    let film = "SELECT md5(string_agg(t::text, ',' ORDER BY film_id)) FROM film t WHERE film_id IN ";
    let films = format!("({})", ask("SELECT string_agg(film_id::text, ',') FROM film"));
    assert_eq!(ask(&format!("{film}{films}")), source(&format!("{film}{films}")));
    assert_ne!(ask("SELECT count(*) FROM film WHERE fulltext @@ to_tsquery('boat & dog')"), "0");
    assert_eq!(ask("SELECT count(*) FROM language WHERE name = 'Never spoken'"), "0");
    assert_eq!(
        ask("SELECT count(*) FROM store s JOIN staff ON staff_id = manager_staff_id"),
        "2",
        "they need each other"
    );
    let keys = "SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(ask(keys), source(keys));
    masked(&server);
    works(&server);
}

fn masked(server: &Server) {
    let ask = |sql: &str| server.sql("development", sql);
    let told = "SELECT count(*) FROM customer_list WHERE name ~ 'Given|Family' OR address ~ 'Real' OR phone ~ '^\\+49'";
    assert_eq!(ask(told), "0", "also through views");
    assert_eq!(ask("SELECT count(*) FROM customer WHERE email !~ '@dev.local$'"), "0");
    assert_eq!(
        ask("SELECT DISTINCT split_part(password, '$', 2) FROM staff"),
        "argon2id",
        "in the form that is stored"
    );
    assert_eq!(ask("SELECT count(DISTINCT password), bool_or(password ~ 'c29tZXNhbHQ') FROM staff"), "1|f");
}

/// It can be worked with as the source can.
fn works(server: &Server) {
    let ask = |sql: &str| server.sql("development", sql);
    ask(
        "INSERT INTO customer (store_id, first_name, last_name, address_id) SELECT 1, 'New', 'One', address_id FROM customer LIMIT 1",
    );
    ask("INSERT INTO film (title, description, language_id) VALUES ('Fresh', 'a shark', 1)");
    assert_eq!(
        ask("SELECT fulltext @@ to_tsquery('shark') FROM film WHERE title = 'Fresh'"),
        "t",
        "its trigger is there"
    );
    ask(
        "INSERT INTO payment (customer_id, staff_id, rental_id, amount, payment_date) SELECT customer_id, staff_id, rental_id, 1, '2026-03-03' FROM rental LIMIT 1",
    );
    ask("REFRESH MATERIALIZED VIEW CONCURRENTLY rental_by_category");
    assert_ne!(ask("SELECT sum(customer_balance(customer_id)) FROM customer"), "");
    assert_eq!(
        ask("SELECT count(*) FROM actor_info"),
        "0",
        "who played in a film that was lent is not asked for"
    );
}
