use serde_json::{Value, json};

use crate::shop::{Shop, errors, warnings};

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

#[test]
fn a_secret_or_config_whose_file_is_missing_is_refused_where_it_is_written() {
    let model = json!({"services": {}, "secrets": {"token": {"file": "/srv/app/token.txt"}},
        "configs": {"site": {"file": "/srv/app/site.conf"}}});
    let text = "secrets:\n  token: { file: token.txt }\nconfigs:\n  site:\n    file: ./site.conf\n";
    let shop = Shop::new(&model).compose(text).missing("/srv/app/token.txt").missing("/srv/app/site.conf");
    let (production, development) = shop.both();
    let found = errors(&production);
    assert!(
        found[0].starts_with("error: the file of the secret `token` of environment `production` is missing")
    );
    assert!(
        found[0].contains("--> compose.yaml:2:12")
            && found[0].contains("because: there is no /srv/app/token.txt")
    );
    assert!(
        found[1].contains("the config `site`") && found[1].contains("--> compose.yaml:5:5"),
        "{}",
        found[1]
    );
    assert_eq!(errors(&development).len(), 1, "its secret is generated, its config is missing too");
}
