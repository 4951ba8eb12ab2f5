include $(sort $(wildcard $(BR2_EXTERNAL_FRIENDLET_PATH)/package/*/*.mk))
