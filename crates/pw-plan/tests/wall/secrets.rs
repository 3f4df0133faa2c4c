use serde_json::{Value, json};

use crate::shop::{Shop, warnings};

fn with_secret(file: &str) -> Value {
    json!({"services": {}, "secrets": {"token": {"name": "x_token", "file": file}}})
}

#[test]
fn a_secret_file_that_production_uses_is_generated_anew() {
    let shop =
        Shop::new(&with_secret("/srv/app/token.txt")).compose("secrets:\n  token:\n    file: ./token.txt\n");
    let (production, development) = shop.both();
    assert_eq!(production.model["secrets"]["token"]["file"], "/srv/app/token.txt");
    let own = "/state/projects/shop/development/secrets/token";
    assert_eq!(development.model["secrets"]["token"]["file"], own);
    assert!(development.generated_secrets.contains(own) && production.generated_secrets.is_empty());
    let found = warnings(&development);
    assert!(
        found[0].contains("compose.yaml:2:3") && found[0].contains(&format!("put the value into {own}")),
        "{}",
        found[0]
    );
}

#[test]
fn a_secret_file_of_its_own_stays() {
    let (_, development) = Shop::of(with_secret("/srv/app/a"), with_secret("/srv/app/b")).both();
    assert_eq!(development.model["secrets"]["token"]["file"], "/srv/app/b");
    assert!(development.generated_secrets.is_empty());
}
