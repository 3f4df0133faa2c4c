FROM docker.io/supabase/studio:20241014-c083b3b AS dev
ENV PORT=8082
