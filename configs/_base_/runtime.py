default_scope = "detr_kit"
