//! The one HTML page. Its template is read anew for every request, so that an
//! edit in a bind-mounted content folder shows at once.

use anyhow::Context;
use axum::extract::State;
use axum::response::Html;

use crate::app::App;
use crate::error::ApiError;

pub async fn home(State(app): State<App>) -> Result<Html<String>, ApiError> {
    let path = app.config.content.join("index.html");
    let template =
        tokio::fs::read_to_string(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
    let posts = match count_posts(&app).await {
        Ok(count) => count.to_string(),
        Err(error) => {
            tracing::warn!("posts cannot be counted: {error:#}");
            "unknown".to_owned()
        }
    };
    let page = template
        .replace("{{environment}}", &escaped(&app.config.environment))
        .replace("{{release}}", &escaped(&app.config.release))
        .replace("{{posts}}", &posts);
    Ok(Html(page))
}

async fn count_posts(app: &App) -> anyhow::Result<i64> {
    let client = app.database.client().await?;
    let row = client.query_one("SELECT count(*) FROM posts WHERE visibility = 'public'", &[]).await?;
    Ok(row.get(0))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_values_stays_text() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
