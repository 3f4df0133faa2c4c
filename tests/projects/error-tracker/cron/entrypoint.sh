#!/bin/sh
echo "$1" | crontab - && exec cron -f
